"""Exceptions to problem details (RFC 9457): one table for the whole house.

A domain error knows nothing of HTTP. Its package declares it here, once, with `declare`; the boundary turns whatever
was raised into `application/problem+json`. Every slug has a page, docs/problems/<slug>.md, served at /problems/<slug>.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PROBLEM_MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    """One kind of problem: its slug (the last part of its IRI), title and HTTP status.

    `members` are the extension members an error of this type may show; each is read from the exception's attribute
    of that name and left out when it is None.
    """

    slug: str
    title: str
    status: int
    members: tuple[str, ...] = ()


TYPES: dict[str, ProblemType] = {}
_BY_EXCEPTION: dict[type[BaseException], ProblemType] = {}


def declare(
    exception: type[BaseException], slug: str, title: str, status: int, *, members: tuple[str, ...] = ()
) -> None:
    """Say which problem an exception is. A subclass without a line of its own is its nearest ancestor's problem."""
    problem_type = ProblemType(slug, title, status, members)
    if slug in TYPES and TYPES[slug] != problem_type:
        message = f"problem type {slug!r} is declared twice, differently"
        raise ValueError(message)
    TYPES[slug] = problem_type
    _BY_EXCEPTION[exception] = problem_type


def problem_type_of(error: BaseException) -> ProblemType | None:
    """The problem type of an exception, or None where no ancestor of it was declared."""
    for ancestor in type(error).__mro__:
        if ancestor in _BY_EXCEPTION:
            return _BY_EXCEPTION[ancestor]
    return None


def problem_details(error: BaseException, base_url: str, *, instance: str | None = None) -> dict[str, Any]:
    """The RFC 9457 object for a declared exception; an undeclared one becomes `internal-error` without detail.

    `detail` is the exception's message, which by the house's rule holds no plaintext, key, token or path.
    """
    problem_type = problem_type_of(error)
    if problem_type is None:
        problem_type = ProblemType("internal-error", "Something went wrong on our side", 500)
        detail = "The request was not carried out. It may be tried again; the operator finds the cause in the log."
    else:
        detail = str(error)
    details: dict[str, Any] = {
        "type": f"{base_url.rstrip('/')}/problems/{problem_type.slug}",
        "title": problem_type.title,
        "status": problem_type.status,
    }
    if detail:
        details["detail"] = detail
    for member in problem_type.members:
        value = getattr(error, member, None)
        if value is not None:
            details[member] = value
    if instance is not None:
        details["instance"] = instance
    return details
