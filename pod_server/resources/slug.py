"""The Slug header (RFC 5023, section 9.7): a client's wish for the name of what it posts."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from pod_server.authorization.wac import ACL_SUFFIX, DESCRIPTION_SUFFIX
from pod_server.resources.path import canonical_path

_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f/\\?#%�]+")
MAX_NAME_LENGTH = 100


def name_for(slug: str | None, random_name: Callable[[], str]) -> str:
    """A canonical name of one segment, made of the wish as far as it goes.

    Args:
        slug: The header's value; a wish, not an order.
        random_name: Gives a name that cannot be guessed, for a wish of which nothing is left.
    """
    wish = _NOT_IN_NAMES.sub("-", unquote(slug or ""))[:MAX_NAME_LENGTH].strip(" .-/")
    while wish.endswith((ACL_SUFFIX, DESCRIPTION_SUFFIX)):
        wish = wish.removesuffix(ACL_SUFFIX).removesuffix(DESCRIPTION_SUFFIX).rstrip(" .-")
    return canonical_path(wish) if wish else random_name()
