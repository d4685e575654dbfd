"""The authorization server: who may ask citizens for what, and the tokens that follow (FAPI 2.0; docs/adr/0004).

In reading order: `metadata.py` (RFC 8414, 9728), `client_authentication.py` (RFC 7523), `dpop.py` (RFC 9449),
`pushed_requests.py` (RFC 9126) with `authorization_details.py` (RFC 9396), `interactions.py` (the citizen decides),
`token_endpoint.py` (RFC 6749, 7636), `tokens.py` (RFC 9068; the doors), `grant_management.py`, `revocation.py`
(RFC 7009), `introspection.py` (RFC 7662). `routes.py` maps addresses to them. It has no HTML: the citizen's decision is
asked for and answered through `interactions.py`.
"""
