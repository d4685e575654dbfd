"""The pod's keys: what opens it, locking and leaving it open, changing each way in, and coming back with the code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flask import Response, redirect, request

from dashboard import frame, unlocking
from dashboard.devices import device_of
from dashboard.frame import check_form
from dashboard.visits import answered_form, citizens_visit, give_session, visit
from pod_server import pods, recovery_drill
from pod_server.authentication.accounts import open_vault
from pod_server.authentication.session import create_session, load_session
from pod_server.errors import NoSuchPod
from pod_server.identifiers import Actor
from pod_server.vault.errors import (
    LastWayIn,
    PassphraseRefused,
    PassphraseTooLong,
    RecoveryCodeMistyped,
    SignInBusy,
    WrongPassphrase,
    WrongRecoveryCode,
)
from pod_server.vault.key_derivation import Passphrase

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from pod_server.authentication.session import Session
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.vault.rotation import RenewedVault

CITIZEN = Actor("citizen")
_DONE = frozenset({"open", "passphrase", "dropped", "drill"})


def lock(host: Host, *, problem: str = "", status: int = 200) -> Response:
    """How the pod's keys are kept, what waits for them, and the steps that change them."""
    seen, session, own = citizens_visit(host)
    done = request.args.get("done", "")
    return _page(
        host,
        seen,
        session,
        own.pod.state,
        status=status,
        problem=problem,
        done=seen.words(f"lock.done-{done}") if done in _DONE else "",
    )


def _page(  # noqa: PLR0917 - called in four places, by name
    host: Host,
    seen: Visit,
    session: Session,
    state: str,
    status: int = 200,
    problem: str = "",
    done: str = "",
    recovery_code: str = "",
) -> Response:
    with host.storage.read() as tx:
        waits = unlocking.what_waits(tx, session.pod_id)
    return frame.page(
        "lock.html.jinja",
        seen,
        status=status,
        problem=problem,
        done=done,
        recovery_code=recovery_code,
        tried=recovery_drill.was_tried(host, session.pod_id),
        state=state,
        slots=sorted(host.key_store.slot_kinds(session.pod_id)),
        waits=waits,
        request_path="/-/lock",
    )


def lock_form(host: Host) -> AnyResponse:
    """Lock the pod: new keys for everything, no slot of the host's; the new recovery code is shown this once.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        TooManyAttempts: too many wrong guesses at the present passphrase.
    """
    return _with_new_keys(
        host,
        "lock.done-locked",
        lambda session, passphrase: pods.lock_pod(host, session.vault(), passphrase, actor=CITIZEN),
    )


def renew_form(host: Host) -> AnyResponse:
    """New keys for everything, for somebody who thinks that others have the old ones; open stays open.

    Raises:
        NotSignedIn, CsrfMismatch, TooManyAttempts: as `lock_form`.
    """
    return _with_new_keys(
        host,
        "lock.done-renewed",
        lambda session, passphrase: pods.renew_keys(host, session.vault(), passphrase, actor=CITIZEN),
    )


def _with_new_keys(host: Host, done: str, make: Callable[[Session, Passphrase], RenewedVault]) -> AnyResponse:
    seen, session, own = answered_form(host)
    refusal = _refused(host, seen, session, own)
    if refusal is not None:
        return refusal
    try:
        renewed = make(session, Passphrase(request.form.get("passphrase", "")))
    except PassphraseRefused as refused:
        return lock(host, problem=_why_refused(seen, refused), status=422)
    except SignInBusy:
        return lock(host, problem=seen.words("sign-in.busy"), status=503)
    return _signed_in_anew(host, seen, renewed, done)


def _why_refused(seen: Visit, refused: PassphraseRefused) -> str:
    return seen.words("lock.too-long" if isinstance(refused, PassphraseTooLong) else "lock.too-short")


def _signed_in_anew(host: Host, seen: Visit, renewed: RenewedVault, done: str) -> AnyResponse:
    """Everybody's sessions ended with the old keys; this one goes on, and the new recovery code is shown once."""
    cookie = create_session(host, renewed.vault.pod_id, renewed.vault, device=device_of(request.user_agent.string))
    fresh = load_session(host, cookie)
    assert fresh is not None
    unlocking.begin(host, renewed.vault)
    state = "open" if "custodian" in host.key_store.slot_kinds(fresh.pod_id) else "locked"
    answer = _page(
        host,
        replace(seen, session=fresh, form_token=fresh.csrf_token),
        fresh,
        state,
        done=seen.words(done),
        recovery_code=renewed.recovery_code,
    )
    give_session(answer, host, cookie)
    return answer


def _refused(host: Host, seen: Visit, session: Session, own: OpenPod, *, new: bool = True) -> Response | None:
    """Whoever finds a browser left open must not be able to shut its owner out: the present passphrase is asked for."""
    if new and request.form.get("passphrase", "") != request.form.get("again", ""):
        return lock(host, problem=seen.words("lock.differ"), status=422)
    if "passphrase" in host.key_store.slot_kinds(session.pod_id):
        try:
            open_vault(host, own.pod.handle, request.form.get("present", ""))
        except WrongPassphrase:
            return lock(host, problem=seen.words("lock.wrong"), status=403)
        except SignInBusy:
            return lock(host, problem=seen.words("sign-in.busy"), status=503)
    return None


def passphrase_form(host: Host) -> AnyResponse:
    """Change the passphrase, or give the pod its first one; sessions and the recovery code stand.

    Raises:
        NotSignedIn, CsrfMismatch, TooManyAttempts: as `lock_form`.
    """
    seen, session, own = answered_form(host)
    refusal = _refused(host, seen, session, own)
    if refusal is not None:
        return refusal
    try:
        pods.change_passphrase(host, session.vault(), Passphrase(request.form.get("passphrase", "")), actor=CITIZEN)
    except PassphraseRefused as refused:
        return lock(host, problem=_why_refused(seen, refused), status=422)
    except SignInBusy:
        return lock(host, problem=seen.words("sign-in.busy"), status=503)
    return redirect("/-/lock?done=passphrase", code=303)


def drop_passphrase_form(host: Host) -> AnyResponse:
    """Take the passphrase of an open pod away.

    Raises:
        NotSignedIn, CsrfMismatch, TooManyAttempts: as `lock_form`.
    """
    seen, session, own = answered_form(host)
    refusal = _refused(host, seen, session, own, new=False)
    if refusal is not None:
        return refusal
    try:
        pods.drop_passphrase(host, session.vault(), actor=CITIZEN)
    except LastWayIn:
        return lock(host, problem=seen.words("lock.last-way-in"), status=409)
    return redirect("/-/lock?done=dropped", code=303)


def recovery_code_form(host: Host) -> AnyResponse:
    """A new recovery code, shown this once; the old one opens nothing.

    Raises:
        NotSignedIn, CsrfMismatch, TooManyAttempts: as `lock_form`.
    """
    seen, session, own = answered_form(host)
    refusal = _refused(host, seen, session, own, new=False)
    if refusal is not None:
        return refusal
    code = pods.renew_recovery_code(host, session.vault(), actor=CITIZEN)
    answer = _page(host, seen, session, own.pod.state, done=seen.words("lock.done-code"), recovery_code=code)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def try_recovery_code(host: Host) -> AnyResponse:
    """The drill: the code is tried as in a recovery, and nothing is changed.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
    """
    seen, session, _ = answered_form(host)
    try:
        recovery_drill.try_code(host, session.pod_id, request.form.get("code", "")[:200])
    except RecoveryCodeMistyped:
        return lock(host, problem=seen.words("recover.mistyped"), status=422)
    except WrongRecoveryCode:
        return lock(host, problem=seen.words("drill.wrong"), status=422)
    return redirect("/-/lock?done=drill", code=303)


def leave_open(host: Host) -> AnyResponse:
    """Let the host hold a key again.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
    """
    _, session, _ = answered_form(host)
    pods.leave_pod_open(host, session.vault(), actor=CITIZEN)
    unlocking.begin(host, session.vault())
    return redirect("/-/lock?done=open", code=303)


def recover_page(host: Host, *, problem: str = "", status: int = 200) -> Response:
    """The form for somebody who has lost the passphrase and kept the recovery code."""
    return frame.page(
        "recover.html.jinja",
        visit(host),
        status=status,
        problem=problem,
        handle=request.form.get("handle", "")[:64],
        request_path="/-/recover",
    )


def recover_form(host: Host) -> AnyResponse:
    """Open the pod with its code and give it a new passphrase, new keys and a new code.

    Raises:
        CsrfMismatch: the form is not ours.
    """
    seen = visit(host)
    check_form(seen.form_token)
    t = seen.words
    if request.form.get("passphrase", "") != request.form.get("again", ""):
        return recover_page(host, problem=t("lock.differ"), status=422)
    try:
        recovered = pods.recover_pod(
            host,
            request.form.get("handle", "").strip().lower()[:64],
            request.form.get("code", "")[:200],
            Passphrase(request.form.get("passphrase", "")),
            actor=CITIZEN,
        )
    except RecoveryCodeMistyped:
        return recover_page(host, problem=t("recover.mistyped"), status=422)
    except (WrongRecoveryCode, NoSuchPod):
        return recover_page(host, problem=t("recover.wrong"), status=403)
    except PassphraseRefused as refused:
        return recover_page(host, problem=_why_refused(seen, refused), status=422)
    except SignInBusy:
        return recover_page(host, problem=t("sign-in.busy"), status=503)
    return _signed_in_anew(host, seen, recovered, "recover.done")
