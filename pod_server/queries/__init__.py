"""SPARQL 1.1 Query behind a wall.

The text is checked (text.py), the request read (protocol.py), and the query run in a child process that can be killed
and has no way out (process.py, child.py); endpoint.py is the pods' own door, over what the asker may read.
"""
