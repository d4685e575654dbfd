"""How partners' data comes in and our messages go out.

`delivery.py` tells the story of an activity on its way in: a channel (`channels/`) takes a payload, its connector
(`connectors/`, one file a partner) normalises it, `delivery` decodes, decides and appends, `receipts` signs what was
taken. `outbox.py` tells the way out. `import_files.py` brings a citizen's own files in by the same path.
"""
