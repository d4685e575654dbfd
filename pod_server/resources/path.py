"""A resource's path: what of a URL names something in a pod, in one canonical spelling.

Two URLs that a person would call the same must not name two resources, and no path may mean something else to another
layer (RFC 3986, section 6): so a path is decoded once, checked, and encoded again in one way.
"""

from __future__ import annotations

from urllib.parse import unquote

from pod_server.resources.errors import PathNotAllowed
from pod_server.spelling import spelled

MAX_PATH_BYTES = 1000


def canonical_path(decoded: str) -> str:
    """Check a percent-decoded path, relative to the pod's root, and spell it canonically.

    Args:
        decoded: As the server's URL parser gives it: decoded exactly once.

    Returns:
        The path as it stands in IRIs; empty for the root, with a last slash for a container.

    Raises:
        PathNotAllowed: empty or dotted segments, control characters, backslashes, what was not UTF-8, or too long.
    """
    if not decoded:
        return ""
    segments = decoded.removesuffix("/").split("/")
    if any(segment in {"", ".", ".."} for segment in segments):
        raise PathNotAllowed("segments of a path must not be empty or consist of dots alone")
    if any(character in "\\\x7f�" or ord(character) < 0x20 for character in decoded):
        raise PathNotAllowed("a path must be UTF-8 and hold no control characters or backslashes")
    path = spelled(decoded)
    if len(path) > MAX_PATH_BYTES:
        raise PathNotAllowed(f"a path is at most {MAX_PATH_BYTES} bytes long")
    return path


def check_raw_target(raw_target: str) -> None:
    """Refuse what would be read differently before and after decoding, where the server shows the raw target.

    Raises:
        PathNotAllowed: an encoded slash or backslash: it is data to one reader of the URL and a separator to the next.
    """
    path = raw_target.partition("?")[0].lower()
    if "%2f" in path or "%5c" in path:
        raise PathNotAllowed("slashes and backslashes must not be percent-encoded")


def is_container(path: str) -> bool:
    """True for the paths of containers (Solid Protocol, section 3.1: they end in a slash)."""
    return path == "" or path.endswith("/")


def name_of(path: str) -> str:
    """The last segment, decoded, for people; empty for the root."""
    return unquote(path.rstrip("/").rpartition("/")[2])


def containers_above(path: str) -> list[str]:
    """The containers that hold a resource, nearest first, the root last."""
    segments = path.rstrip("/").split("/")[:-1]
    above = ["/".join(segments[:count]) + "/" for count in range(len(segments), 0, -1)]
    return [*above, ""] if path else []


def other_spelling(path: str) -> str:
    """The path that differs by the last slash alone; only one of the two may exist (Solid Protocol, section 3.1)."""
    return path[:-1] if path.endswith("/") else path + "/"
