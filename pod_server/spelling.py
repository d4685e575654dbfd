"""One spelling of a URL's path, for whoever compares two of them: resources, access rules and proofs alike.

The server in front decodes a path before anybody sees it, so an escape is never more than a way to write a letter:
`a%26b` is `a&b`, and `a%2Fb` is `a/b` (RFC 3986, section 6.2.2, and one step further, as everything here does).
"""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

PLAIN = "-._~!$&'()*+,;=:@/"
"""What stands unescaped in a path segment (RFC 3986, section 3.3), and the slash between segments."""


def spelled(decoded: str) -> str:
    """A path as it stands in IRIs, from its decoded form."""
    return quote(decoded, safe=PLAIN)


def respelled(path: str) -> str:
    """A path as it came in a URL, in the one spelling."""
    return spelled(unquote(path))


def respelled_iri(iri: str) -> str:
    """An IRI with its path in the one spelling; what is no URL stays as it is."""
    if "%" not in iri and iri.isascii():
        return iri
    try:
        parts = urlsplit(iri)
    except ValueError:
        return iri
    return parts._replace(path=respelled(parts.path)).geturl() if parts.scheme in {"http", "https"} else iri
