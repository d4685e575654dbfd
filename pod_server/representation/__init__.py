"""Resources as bytes and back: content negotiation, the forms of RDF, and the two patch languages.

graph.py is what all of them read and write; stored.py is the form a document has inside the pod. Parsing and writing
are pyoxigraph's; nothing here opens a file or a network connection.
"""
