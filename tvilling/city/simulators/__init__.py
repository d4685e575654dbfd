"""The partners, as strangers: each speaks its own format and comes in by the public doors alone.

`sources.py` lists what each partner has to deliver and when; `oauth_client.py` signs in, asks for consent and delivers;
`messages.py` checks what the house sends back.
"""
