"""What can go wrong when a citizen signs in by passkey or by another provider."""

from __future__ import annotations

from pod_server import problems


class SignInError(Exception):
    """The root of this folder's errors."""


class PasskeyInvalid(SignInError):
    """A passkey's answer that does not hold; the message says what is wrong, as far as it helps its owner."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The passkey was not taken: {reason}.")


class TooManyPasskeys(SignInError):
    """A citizen has twenty."""

    def __init__(self) -> None:
        super().__init__("There are twenty passkeys. Remove one that is not used.")


class PasskeyOpensNot(SignInError):
    """The passkey is the citizen's, and the pod is locked.

    Attributes:
        passkey: Which passkey.
        has_slot: Whether its own secret (PRF) would open the pod.
    """

    def __init__(self, passkey: str, *, has_slot: bool) -> None:
        super().__init__(
            "The pod is locked. This passkey opens it with its own secret: confirm once more."
            if has_slot
            else "The pod is locked, and this passkey does not open locked pods. Sign in with the passphrase."
        )
        self.passkey = passkey
        self.has_slot = has_slot


class ProviderInvalid(SignInError):
    """There is no such provider here, or its description does not hold."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The provider: {reason}.")


class ProviderUnreachable(SignInError):
    """The provider does not answer as it should; nothing of what it said is told but its error code."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The provider could not be asked: {reason}.")


class AnswerInvalid(SignInError):
    """What came back from a provider is not the answer to this browser's request, or does not hold."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The provider's answer was not taken: {reason}. Start again from the sign-in page.")


class SignInRefusedThere(SignInError):
    """The citizen broke off at the provider, or it refused."""

    def __init__(self, provider: str) -> None:
        super().__init__(f"Nothing came of signing in with {provider}. You may try again, or use the passphrase.")
        self.provider = provider


class NotLinked(SignInError):
    """The provider knows them; nobody here has linked that identity."""

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"No pod here is linked to who you are at {provider}. Sign in with the passphrase and link it."
        )
        self.provider = provider


class LinkedElsewhere(SignInError):
    """That identity opens another pod on this host."""

    def __init__(self, provider: str) -> None:
        super().__init__(f"Who you are at {provider} opens another pod here. Unlink it there first.")
        self.provider = provider


class PodStaysLocked(SignInError):
    """The pod is theirs, and locked: nobody's word opens it."""

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"{provider} says who you are, but your pod is locked: "
            "the passphrase opens it, or a passkey that you let open it."
        )
        self.provider = provider


problems.declare(PasskeyInvalid, "passkey-invalid", "The passkey was not taken", 403)
problems.declare(TooManyPasskeys, "too-many-passkeys", "No more passkeys", 409)
problems.declare(
    PasskeyOpensNot, "passkey-opens-not", "The passkey does not open a locked pod", 403, members=("passkey", "has_slot")
)
problems.declare(ProviderInvalid, "sign-in-provider", "There is no such provider to sign in with", 404)
problems.declare(ProviderUnreachable, "sign-in-provider-unreachable", "The provider could not be asked", 502)
problems.declare(AnswerInvalid, "sign-in-answer", "The provider's answer was not taken", 403)
problems.declare(SignInRefusedThere, "sign-in-broken-off", "Signing in was broken off", 403)
problems.declare(NotLinked, "sign-in-not-linked", "No pod is linked to this identity", 403)
problems.declare(LinkedElsewhere, "sign-in-linked-elsewhere", "This identity opens another pod", 409)
problems.declare(PodStaysLocked, "sign-in-pod-locked", "The pod is locked", 403)
