"""Who may do what in a pod, and the proof that it was decided.

`permit.py` is that proof; `enforcement.py` alone makes one, from exactly one authority: the access rules of the pod
(wac.py) for its owner and for apps, a grant for a partner or a research release, a mandate for the twin.
`grant_rows.py` is what the database knows of grants, `mandates.py` of mandates.
"""
