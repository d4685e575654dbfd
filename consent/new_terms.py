"""What no new consent may be, whoever writes it down: a page, a command or another program (GDPR Art. 5(1)(b, e), 7).

Terms that were agreed to before stay what they are, also where the vocabulary has changed since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consent.errors import TermsInvalid
from consent.grant import LONGEST_CONSENT, MOST_DOCUMENTS
from vocab.kinds import load_kinds
from vocab.purposes import load_purposes
from vocab.shared_figures import load_shared_figures

if TYPE_CHECKING:
    from datetime import datetime

    from consent.grant import GrantTerms


def require_new_terms(terms: GrantTerms, at: datetime) -> None:
    """Hold terms that somebody is about to agree to against what any consent given now may be, whoever writes it down.

    Raises:
        TermsInvalid: they end in the past or in more than five years; or the purpose or a kind is none of the vocabulary's
            (GDPR Art. 5(1)(b): a purpose is specified; free text is no purpose).
    """
    if not at < terms.expires_at <= at + LONGEST_CONSENT:
        raise TermsInvalid("expires_at", "a consent ends in the future, and within five years")
    if terms.purpose not in load_purposes():
        raise TermsInvalid("purpose", f"one of {', '.join(sorted(load_purposes()))}")
    if len(terms.documents) > MOST_DOCUMENTS:
        raise TermsInvalid("documents", f"at most {MOST_DOCUMENTS} documents")
    if unknown := sorted(terms.figures - load_shared_figures().keys()):
        raise TermsInvalid("figures", f"{unknown[0][:60]!r} is no figure")
    if unknown := sorted(terms.kinds - load_kinds().by_slug.keys()):
        raise TermsInvalid("kinds", f"{unknown[0][:60]!r} is no kind of activity")
