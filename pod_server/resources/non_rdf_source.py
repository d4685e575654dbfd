"""Everything that is not RDF (LDP, section 4.4): kept byte for byte, with the media type it came with."""

from __future__ import annotations

import re

from pod_server.representation.errors import UnsupportedMediaType

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\Z")

UNKNOWN = "application/octet-stream"


def check_media_type(media_type: str) -> str:
    """A media type as RFC 6838, section 4.2 spells it.

    Raises:
        UnsupportedMediaType: something else stands in Content-Type, or nothing (Solid Protocol, section 2.1).
    """
    if not _MEDIA_TYPE.match(media_type):
        raise UnsupportedMediaType("a body needs a Content-Type with a media type", accepted=("*/*",))
    return media_type


_PARAMETERS = re.compile(r"[\x20-\x7e]{1,200}\Z")


def parameters_of(content_type: str) -> str:
    """What follows the media type in a Content-Type (`charset=utf-8`), to be given out again as it came; else "".

    Another program reads it, so it is kept only where it can do no harm in a header.
    """
    parameters = content_type.partition(";")[2].strip()
    return parameters if _PARAMETERS.match(parameters) else ""
