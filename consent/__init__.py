"""The law, as pure functions: facts and time in, decision out (GDPR Articles 4(11), 5, 6(1)(a), 7 and 17).

Read `grant.py` (what a citizen agreed to), then `ledger.py` (what has happened to it since, as separate events), then
`decision.py` (may this be done now?). Nothing here knows of HTTP, a database, a key or a clock.
"""
