"""What can go wrong when a citizen signs in."""

from __future__ import annotations

from pod_server import problems


class AuthenticationError(Exception):
    """The root of this folder's errors."""


class TooManyAttempts(AuthenticationError):
    """Too many wrong passphrases for one name.

    Attributes:
        retry_after: Whole seconds until the next try counts.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many wrong passphrases. Try again in {retry_after} seconds.")
        self.retry_after = retry_after


class SignInLinkInvalid(AuthenticationError):
    """The link was used, has run out, was never made, or comes from another machine."""

    def __init__(self) -> None:
        super().__init__("This sign-in link has been used, has run out, or was not made for this machine.")


class NotSignedIn(AuthenticationError):
    """A page was asked for without a session, or with one that has ended."""

    def __init__(self) -> None:
        super().__init__("Sign in to see this page.")


class SignInTooOld(AuthenticationError):
    """Something that lasts (a new way to sign in) needs a citizen who signed in just now."""

    def __init__(self) -> None:
        super().__init__("You signed in a while ago. Sign in once more, then do this.")


class CsrfMismatch(AuthenticationError):
    """A form came without the session's own token: perhaps from another site's page."""

    def __init__(self) -> None:
        super().__init__("The form is out of date. Load the page again and repeat what you did.")


class TicketInvalid(AuthenticationError):
    """A live stream's ticket was used, has run out, or was never made."""

    def __init__(self) -> None:
        super().__init__("The ticket has been used or has run out. The page asks for a new one by itself.")


problems.declare(TooManyAttempts, "too-many-attempts", "Too many wrong passphrases", 429, members=("retry_after",))
problems.declare(SignInLinkInvalid, "sign-in-link-invalid", "The sign-in link does not work", 403)
problems.declare(NotSignedIn, "no-session", "Sign in first", 401)
problems.declare(SignInTooOld, "sign-in-too-old", "Sign in once more", 403)
problems.declare(CsrfMismatch, "form-out-of-date", "The form is out of date", 403)
problems.declare(TicketInvalid, "ticket-invalid", "The ticket does not work", 401)
