"""SpareBank 1's interface as the city has it: accounts and classified transactions behind a log-in."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tvilling.city.electricity import LOCAL
from tvilling.city.households import Household
from tvilling.city.simulators.asked import Stranger
from tvilling.city.simulators.faults import Switch
from tvilling.city.simulators.sign_in_server import Answer, json_answer
from tvilling.city.simulators.sources import City
from tvilling.city.spending import Movement, movements_of_day

MEDIA_TYPE = "application/vnd.sparebank1.v1+json; charset=utf-8"
BOOKED_LATE = timedelta(days=5)
"""How long payments stay pending while the bank is late."""


@dataclass
class Bank(Stranger):
    """The bank.

    Attributes:
        households: Its customers by handle.
        city: The city.
        extra: Movements beside the everyday ones, by handle.
    """

    households: Mapping[str, Household] = field(default_factory=dict)
    city: City = field(default_factory=lambda: City(0, datetime(1970, 1, 1, tzinfo=UTC), {}))
    extra: dict[str, list[Movement]] = field(default_factory=dict)

    content_type = MEDIA_TYPE

    def tell(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], form: Mapping[str, str]
    ) -> Answer:
        """Accounts, and what was paid from them."""
        del form
        if (method, path) not in {
            ("GET", "/personal/banking/accounts"),
            ("GET", "/personal/banking/transactions/classified"),
        }:
            return json_answer(404, {"errors": ["no such address"]})
        person = self.person_of(headers)
        if person is None:
            return json_answer(401, {"errors": ["invalid token"]})
        account = f"key-{person}"
        if path.endswith("/accounts"):
            return json_answer(200, {"accounts": [{"key": account, "name": "Brukskonto", "balance": 1.0}]}, MEDIA_TYPE)
        if query.get("accountKey") != account:
            return json_answer(403, {"errors": ["another customer's account"]})
        first, last = (date.fromisoformat(query[name]) for name in ("fromDate", "toDate"))
        found = self._transactions(self.households[person], account, first, last)[: int(query.get("rowLimit", 1000))]
        body = json.dumps({"transactions": found, "errors": []}).encode()
        return Answer(200, body, MEDIA_TYPE, told_to=person, records=_names(found))

    def _transactions(self, household: Household, account: str, first: date, last: date) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        today = self.clock().astimezone(LOCAL).date()
        booked_to = today - (BOOKED_LATE if self.faults.stands(Switch.LATE) else timedelta(0))
        extra = self.extra.get(household.handle, [])
        day = first
        while day <= min(last, today):
            movements = movements_of_day(
                household,
                day,
                self.city.seed,
                self.city.bought_on(household.handle, day),
                self.city.rides_on(household.handle, day),
            )
            movements += [each for each in extra if each.at.astimezone(LOCAL).date() == day]
            found += [self._transaction(each, account, booked=day < booked_to) for each in movements]
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


def _names(found: list[dict[str, Any]]) -> frozenset[tuple[int, float, str, int]]:
    """What tells booked payments apart: day, amount, text, and an ordinal among their likes."""
    likes: Counter[tuple[int, float, str]] = Counter()
    names = set()
    for each in found:
        told = each["transaction"]
        if told["bookingStatus"] == "BOOKED" and told["amount"] < 0:
            like = (told["date"], told["amount"], told["cleanedDescription"])
            likes[like] += 1
            names.add((*like, likes[like]))
    return frozenset(names)
