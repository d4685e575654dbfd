"""Who is it? Citizens on pages: accounts and sign-in (accounts.py), sessions (session.py), live streams (tickets.py).

Sessions open pages only. Partners, apps and scripts come with tokens and proofs (pod_server/authorization_server).
"""
