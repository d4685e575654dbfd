"""The twin: what is known of one citizen's footprint, worked out inside the pod, with a reason beside every number.

The story is told by pipeline.py: observe what is new, compute it into sums, infer what follows, propose, and write
everything in one transaction. Nothing leaves a pod but by act.py, on the citizen's own yes.
"""
