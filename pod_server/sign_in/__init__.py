"""Other ways to sign in than the passphrase: passkeys, and providers such as ID-porten that know who somebody is.

`challenges.py` (one-use words for browsers), `passkeys.py` (WebAuthn); `providers.py`, `requests.py`, `answers.py` and
`links.py` (OpenID Connect, this host as the client). All of them say who is there; what opens then is the vault's affair.
"""
