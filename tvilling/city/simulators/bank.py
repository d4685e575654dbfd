"""SpareBank 1's interface as the city has it: accounts and classified transactions behind a log-in, and what goes wrong there.

Faults, each so many times as its number says: `busy` (429 with Retry-After), `ill` (500), `cut` (half an answer), `nonsense`
(no JSON), `expired` (the access token ends early).
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tvilling.city.electricity import LOCAL
from tvilling.city.households import Household
from tvilling.city.simulators.sign_in_server import Answer, SignInServer, json_answer
from tvilling.city.spending import Movement, movements_of_day

MEDIA_TYPE = "application/vnd.sparebank1.v1+json; charset=utf-8"
BUSY_SECONDS = 30


@dataclass
class Bank:
    """The bank.

    Attributes:
        sign_in: Its authorization server.
        households: Its customers by handle.
        seed: The city's.
        now: The city's time.
        faults: What goes wrong, and how many times more.
        extra: Movements beside the everyday ones, by handle.
        asked: Every address that was asked, for who wants to count.
        served: By customer: each booked payment that was told in a whole answer.
    """

    sign_in: SignInServer
    households: Mapping[str, Household]
    seed: int
    now: Callable[[], datetime]
    faults: dict[str, int] = field(default_factory=dict)
    extra: dict[str, list[Movement]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    served: dict[str, set[tuple[int, float, str, int]]] = field(default_factory=dict)

    def payments_served(self) -> dict[str, int]:
        """How many booked payments each customer's askers were given, each counted once."""
        return {person: len(payments) for person, payments in list(self.served.items())}

    def answer(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], form: Mapping[str, str]
    ) -> Answer:
        """One request below the bank's address."""
        self.asked.append(f"{method} {path}")
        authorization = headers.get("Authorization", "")
        match method, path:
            case "GET", "/.well-known/oauth-authorization-server":
                return self.sign_in.metadata()
            case "GET", "/oauth/authorize":
                return self.sign_in.authorize(query, None)
            case "POST", "/oauth/authorize":
                return self.sign_in.authorize(query, form)
            case "POST", "/oauth/token":
                return self._or_fault("token-") or self.sign_in.token(form, authorization)
            case "POST", "/oauth/revoke":
                return self.sign_in.revoke(form, authorization)
            case "GET", "/personal/banking/accounts" | "/personal/banking/transactions/classified":
                return self._personal(path, query, authorization)
        return json_answer(404, {"errors": ["no such address"]})

    def _personal(self, path: str, query: Mapping[str, str], authorization: str) -> Answer:
        if self._happens("expired"):
            self.sign_in.end_access()
        person = self.sign_in.person_of(authorization)
        if person is None:
            return json_answer(401, {"errors": ["invalid token"]})
        fault = self._or_fault("")
        if fault is not None:
            return fault
        account = f"key-{person}"
        if path.endswith("/accounts"):
            return json_answer(200, {"accounts": [{"key": account, "name": "Brukskonto", "balance": 1.0}]}, MEDIA_TYPE)
        if query.get("accountKey") != account:
            return json_answer(403, {"errors": ["another customer's account"]})
        first, last = (date.fromisoformat(query[name]) for name in ("fromDate", "toDate"))
        found = self._transactions(self.households[person], account, first, last)[: int(query.get("rowLimit", 1000))]
        whole = json_answer(200, {"transactions": found, "errors": []}, MEDIA_TYPE)
        if self._happens("cut"):
            return Answer(200, whole.body, MEDIA_TYPE, cut=True)
        self._count(person, found)
        return whole

    def _count(self, person: str, found: list[dict[str, Any]]) -> None:
        likes: Counter[tuple[int, float, str]] = Counter()
        served = self.served.setdefault(person, set())
        for each in found:
            told = each["transaction"]
            if told["bookingStatus"] == "BOOKED" and told["amount"] < 0:
                like = (told["date"], told["amount"], told["cleanedDescription"])
                likes[like] += 1
                served.add((*like, likes[like]))

    def _transactions(self, household: Household, account: str, first: date, last: date) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        today = self.now().astimezone(LOCAL).date()
        extra = self.extra.get(household.handle, [])
        day = first
        while day <= min(last, today):
            movements = movements_of_day(household, day, self.seed)
            movements += [each for each in extra if each.at.astimezone(LOCAL).date() == day]
            found += [self._transaction(each, account, booked=day < today) for each in movements]
            day += timedelta(days=1)
        return found

    @staticmethod
    def _transaction(movement: Movement, account: str, *, booked: bool) -> dict[str, Any]:
        transaction = {
            # New in each session, as the bank's own documentation warns.
            "id": secrets.token_hex(8),
            "nonUniqueId": f"{int(abs(movement.amount))}",
            "amount": movement.amount,
            "date": int(movement.at.astimezone(UTC).timestamp() * 1000),
            "description": movement.text,
            "cleanedDescription": movement.text,
            "bookingStatus": "BOOKED" if booked else "PENDING",
            "accountKey": account,
            "accountCurrency": "NOK",
            "currencyCode": "NOK",
            "source": "RECENT",
            "canShowDetails": False,
        }
        if movement.mcc:
            transaction["mcc"] = movement.mcc
        if movement.other:
            transaction |= {"remoteAccountName": movement.other, "remoteAccountNumber": "12341212345"}
        category = {"main": movement.category, "sub": "", "confidence": 90}
        return {"transaction": transaction, "categories": [category], "recurring": False, "subscription": False}

    def _or_fault(self, prefix: str) -> Answer | None:
        if self._happens(f"{prefix}busy"):
            return json_answer(429, {"errors": ["too many requests"]}, **{"Retry-After": str(BUSY_SECONDS)})
        if self._happens(f"{prefix}ill"):
            return Answer(500, b"<h1>Internal server error</h1>", "text/html")
        if self._happens(f"{prefix}nonsense"):
            return Answer(200, b'{"transactions": [', MEDIA_TYPE)
        return None

    def _happens(self, fault: str) -> bool:
        left = self.faults.get(fault, 0)
        if left > 0:
            self.faults[fault] = left - 1
        return left > 0
