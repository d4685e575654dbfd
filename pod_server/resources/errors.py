"""What a client can be told about a resource it cannot have, change or make."""

from __future__ import annotations

from pod_server import problems


class ResourceError(Exception):
    """The root of this folder's errors."""


class ResourceNotFound(ResourceError):
    """There is nothing under this name, and the caller may know that.

    Attributes:
        headers: What the answer says of how it could be made; set where HTTP is known of.
    """

    def __init__(self, *words: str) -> None:
        super().__init__(*words)
        self.headers: dict[str, str] = {}


class PathNotAllowed(ResourceError):
    """The path is not one that a resource may have."""


class MethodNotSupported(ResourceError):
    """The resource does not answer to this method; `allowed` are those it answers to."""

    def __init__(self, message: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = list(allowed)


class PreconditionFailed(ResourceError):
    """The resource is not in the version the caller named."""


class ContainerNotEmpty(ResourceError):
    """A container with members is not deleted."""


class ResourceConflict(ResourceError):
    """What is there already does not go with what was asked for."""


problems.declare(ResourceNotFound, "not-found", "There is nothing here", 404)
problems.declare(PathNotAllowed, "path-not-allowed", "No resource may have this path", 400)
problems.declare(
    MethodNotSupported, "method-not-allowed", "The resource does not answer to this method", 405, members=("allowed",)
)
problems.declare(PreconditionFailed, "precondition-failed", "The resource has another version", 412)
problems.declare(ContainerNotEmpty, "container-not-empty", "The container has members", 409)
problems.declare(ResourceConflict, "resource-conflict", "The request conflicts with what is there", 409)
