"""Anonymised releases (bound, account, noise, publish) and the SPARQL endpoint over them."""
