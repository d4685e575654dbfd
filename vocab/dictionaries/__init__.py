"""Compression dictionaries: data named in envelopes, never changed once released; build.py makes a new one."""
