"""What may be asked of citizens' tables without naming a pod, and the guard that holds the house to it in every test.

A statement that names no pod goes to every shard of a distributed database and excludes no writer of a pod; so each one
stands here, with its reason. Tables that are reached by another name (pod_server/storage/statements.py) hold who may
come in, no citizen's data, and are left out.
"""

from __future__ import annotations

import re
import sys
from functools import wraps
from pathlib import Path

from pod_server.storage.schema_version import tables_of_pods
from pod_server.storage.statements import REACHED_BY_ANOTHER_NAME, subject_of

TESTS = str(Path(__file__).parent)

ALLOWED = {
    r"FROM pod\b.*(WHERE handle = \?|ORDER BY handle|LIMIT 1$)": "from a public name to its pod; the operator's list of pods",
    r"^SELECT .* FROM pod$": "the operator's list of pods (doctor, enrolment, research's count of citizens by area)",
    r"FROM (app_connection|passkey|session|upstream_link) JOIN pod ON\b": "from a token's or a device's name to its pod and handle",
    r"FROM grant_route JOIN consent ON\b": "from the name that a partner knows to its pod",
    r"^SELECT COALESCE\(SUM\(.*FROM consent_use$": "metrics: one number a shard",
    r"FROM pod JOIN retired_handle\b": "the doctor looks for a handle that was given out twice",
    r"FROM pod WHERE .*state\b": "the agent and the researchers' release look for open pods",
    r"feed\b.*head > cursor": "workers look for pods with something new; each shard answers for its own",
    r"^UPDATE feed SET claimed_by = '', claimed_until = 0$": "a restore frees what a vanished worker had claimed",
    r"FROM consent WHERE (erasure_pending = 1|state )": "the agent looks for consents that end or were not erased to the end",
    r"FROM consent\b.*client_id = \?": "a partner's consents: the operator's notice of a breach, the partner's own page",
    r"^SELECT pod_id, grant_id, state_version FROM consent$": "a restore compares consents with those it replaces",
    r"^SELECT pod_id, grant_id, ordinal FROM segment WHERE first_ordinal": "upkeep looks for small deliveries to pack",
    r"FROM consent_receipt WHERE filed = 0": "receipts that wait for their pod to be opened",
    r"FROM representation WHERE (representative_pod = \?|state )": "from a representative to those represented; the agent looks for birthdays",
    r"consent_reminder\b": "the agent looks for consents whose end is near",
    r"FROM (resealing|upload|storage_use|webhook_channel|pending_delivery|sealed_delivery|upstream_link|arriving_pod|unsettled_pod|document_part)\b": (
        "the agent looks for work that was begun: each shard answers for its own"
    ),
    r"FROM pull WHERE (next_at|slug)\b": "the agent looks for what is due at sources; the operator asks how a source fares",
    r"\blog_cosignature\b.*LIMIT": "the agent looks for logs that a witness has not seen so; the doctor for those it refuses",
    r"FROM log_tree WHERE key_number < \?": "the agent looks for logs that do not tell of the host's newest key yet",
    r"^SELECT (MAX|COUNT)\(": "the operator's check-up: one number a shard",
    r"^SELECT state, .*COUNT\(\*\) FROM (pod|consent) GROUP BY": "metrics: one number a shard",
    r"^SELECT DISTINCT pod_id FROM document WHERE binary_name IS NOT NULL$": "the sweeper and the doctor look for files",
    r"^UPDATE representation SET state = 'ended' WHERE state IN \('standing', 'offered'\)$": "a restore ends what may have been ended since",
    r"^UPDATE representation SET state = 'ended' WHERE representative_pod = \?": "who was removed answers for nobody",
    r"^DELETE FROM \w+$": "a restore ends every way in that its backup still had",
}


def why_not(sql: str) -> str | None:
    """What is wrong with a statement on citizens' data, or None."""
    subject = subject_of(sql)
    tables = set(subject.tables) & set(tables_of_pods()) - set(REACHED_BY_ANOTHER_NAME)
    if not tables or subject.pods or any(re.search(pattern, sql, re.DOTALL) for pattern in ALLOWED):
        return None
    return f"this statement on {', '.join(sorted(tables))} names no pod: {sql}"


def guard(transaction: type) -> None:
    """Refuse statements without a pod in every transaction of this kind, the tests' own excepted."""
    known: set[str] = set()

    def guarded(method):
        @wraps(method)
        def ask(self, sql, *arguments):
            if sql not in known and not sys._getframe(1).f_code.co_filename.startswith(TESTS):
                wrong = why_not(sql)
                assert wrong is None, wrong
                known.add(sql)
            return method(self, sql, *arguments)

        return ask

    for name in ("execute", "execute_many", "one", "all", "send"):
        setattr(transaction, name, guarded(getattr(transaction, name)))
