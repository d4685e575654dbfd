"""What can be wrong with a representation that a client sent or asked for."""

from __future__ import annotations

from pod_server import problems


class RepresentationError(Exception):
    """The root of this folder's errors."""


class MalformedRepresentation(RepresentationError):
    """The body is not what its media type says it is; `line` and `column` say where, counted from 1."""

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class RemoteContextRefused(RepresentationError):
    """The JSON-LD names a context that would have to be fetched."""


class UnsupportedMediaType(RepresentationError):
    """The body's media type is not one this resource can be written with."""

    def __init__(self, message: str, *, accepted: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.accepted = list(accepted)


class NotAcceptable(RepresentationError):
    """None of the media types that the client accepts can be made."""

    def __init__(self, message: str, *, available: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.available = list(available)


class PatchNotProcessable(RepresentationError):
    """The patch is well-formed, but is not a patch that the specification, or this server, allows."""


class PatchDoesNotMatch(RepresentationError):
    """The document is not in the state that the patch says it must be in; nothing was changed."""


problems.declare(
    MalformedRepresentation,
    "malformed-representation",
    "The body is not what its media type says",
    400,
    members=("line", "column"),
)
problems.declare(RemoteContextRefused, "remote-context-refused", "The JSON-LD refers to a context elsewhere", 400)
problems.declare(
    UnsupportedMediaType, "unsupported-media-type", "The body has an unsupported media type", 415, members=("accepted",)
)
problems.declare(
    NotAcceptable, "not-acceptable", "No acceptable representation can be made", 406, members=("available",)
)
problems.declare(PatchNotProcessable, "patch-not-processable", "The patch cannot be carried out", 422)
problems.declare(PatchDoesNotMatch, "patch-does-not-match", "The document is not as the patch expects", 409)
