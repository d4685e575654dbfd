"""An unattended citizen: signs in, answers consent questions, withdraws and approves by the same pages as anyone.

It knows nothing of the house but its public doors: HTML forms and the event stream.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin, urlsplit

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


_COUNTED_ANEW_WITHIN_SECONDS = 60.0
"""A year of minutes and receipts by SPARQL takes a second or some, on a machine with much else to do more."""


class VisitorError(Exception):
    """A page did not answer as a citizen would need it to."""


@dataclass
class Field:
    """One control of a form: its name, value, type and the attributes it carries."""

    name: str
    value: str
    kind: str
    attributes: dict[str, str]


@dataclass
class Form:
    """One form of a page."""

    action: str
    method: str
    fields: list[Field] = field(default_factory=list)

    def hidden(self) -> dict[str, str]:
        """The values that the page itself put in."""
        return {each.name: each.value for each in self.fields if each.kind == "hidden"}

    def choices(self, name: str) -> list[Field]:
        """The checkboxes or radio buttons of one name."""
        return [each for each in self.fields if each.name == name and each.kind in {"checkbox", "radio"}]


class _FormReader(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(attributes.get("action", ""), attributes.get("method", "get").lower())
            self.forms.append(self._open)
        elif tag in {"input", "button"} and self._open is not None and attributes.get("name"):
            kind = attributes.get("type", "text" if tag == "input" else "submit")
            self._open.fields.append(Field(attributes["name"], attributes.get("value", ""), kind, attributes))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


class _LinkReader(HTMLParser):
    """The one link on a page that leads to another host."""

    def __init__(self) -> None:
        super().__init__()
        self.away: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "a" and attributes.get("rel") == "noreferrer":
            self.away = attributes.get("href")


def read_forms(page: str) -> list[Form]:
    """Every form of an HTML page."""
    reader = _FormReader()
    reader.feed(page)
    return reader.forms


class Visitor:
    """One citizen's browser without a screen."""

    def __init__(self, base_url: str, handle: str) -> None:
        self.base_url = base_url
        self.handle = handle
        # A year's recompute takes some seconds on a quiet machine, and the city is not quiet.
        self._http = httpx.Client(base_url=base_url, timeout=httpx.Timeout(20.0, read=60.0), follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the browser."""
        self._http.close()

    def _page(self, address: str) -> str:
        response = self._http.get(address)
        if response.status_code != 200:
            raise VisitorError(f"GET {urlsplit(address).path} answered {response.status_code}")
        return response.text

    def _form(self, address: str, *, action_ends_with: str) -> Form:
        for form in read_forms(self._page(address)):
            if form.action.split("?")[0].endswith(action_ends_with):
                return form
        raise VisitorError(f"{urlsplit(address).path} has no form for {action_ends_with}")

    def _post(self, address: str, values: dict[str, Any]) -> httpx.Response:
        response = self._http.post(address, data=values)
        if response.status_code not in {200, 303}:
            raise VisitorError(f"POST {urlsplit(address).path} answered {response.status_code}")
        return response

    def sign_in(self, passphrase: str) -> None:
        """Sign in with the passphrase."""
        form = self._form("/-/sign-in", action_ends_with="/-/sign-in")
        values = form.hidden() | {"handle": self.handle, "passphrase": passphrase}
        answer = self._post("/-/sign-in", values)
        if answer.status_code != 303:
            raise VisitorError("the passphrase was not accepted")

    def give_consent(self, authorize_url: str) -> str:
        """Follow a partner's authorization request, say yes to all it asks, and return where the answer goes."""
        redirect = self._http.get(authorize_url)
        if redirect.status_code != 303:
            raise VisitorError(f"the authorization endpoint answered {redirect.status_code}")
        question = urljoin(self.base_url, redirect.headers["location"])
        form = next((form for form in read_forms(self._page(question)) if form.choices("kind")), None)
        if form is None:
            raise VisitorError("the consent page has no question")
        values: dict[str, Any] = dict(form.hidden())
        values["kind"] = [choice.value for choice in form.choices("kind")]
        for name in ("granularity", "duration"):
            wished = [choice for choice in form.choices(name) if "data-wish" in choice.attributes]
            options = wished or form.choices(name)
            if options:
                values[name] = options[0].value
        values["answer"] = "give"
        answer = self._post(urljoin(question, form.action) if form.action else question, values)
        if answer.status_code != 303:
            raise VisitorError("the answer to the consent question was not taken")
        return answer.headers["location"]

    def connect_source(self, slug: str) -> None:
        """Connect a source on its page: go there, sign in as oneself, say yes, and come back."""
        form = self._form("/-/sources", action_ends_with=f"/-/sources/{slug}/connect")
        page = self._post(form.action, form.hidden())
        reader = _LinkReader()
        reader.feed(page.text)
        if reader.away is None:
            raise VisitorError(f"no page leads to {slug}")
        with httpx.Client(timeout=20.0, follow_redirects=False) as elsewhere:
            shown = elsewhere.get(reader.away)
            if shown.status_code != 200 or not read_forms(shown.text):
                raise VisitorError(f"{slug} shows no page to sign in on ({shown.status_code})")
            answer = elsewhere.post(reader.away, data={"person": self.handle, "answer": "yes"})
        if answer.status_code != 303:
            raise VisitorError(f"{slug} did not send us back ({answer.status_code})")
        back = self._http.get(answer.headers["location"])
        if back.status_code != 303:
            raise VisitorError(f"coming back from {slug} answered {back.status_code}")

    def paste_token(self, slug: str, page: str) -> None:
        """Connect a source that gives a token to copy: get one on its page, and paste it here."""
        with httpx.Client(timeout=20.0, follow_redirects=False) as elsewhere:
            shown = elsewhere.post(page, data={"person": self.handle}).text
        token = shown.partition("<code>")[2].partition("</code>")[0]
        if not token:
            raise VisitorError(f"{slug} shows no token")
        form = self._form("/-/sources", action_ends_with=f"/-/sources/{slug}/connect")
        if self._post(form.action, form.hidden() | {"token": token}).status_code != 303:
            raise VisitorError(f"the token of {slug} was not taken")

    def agree_to_calculation(self, slug: str) -> None:
        """Consent to a service calculating, on the page that shows what would leave."""
        form = self._form("/-/calculations", action_ends_with=f"/-/calculations/{slug}/agree")
        self._post(form.action, form.hidden())

    def calculation_to_send(self, slug: str) -> Form | None:
        """The form that sends last month's sums exactly as shown; None while there is no sum, or no consent."""
        forms = read_forms(self._page("/-/calculations"))
        return next((form for form in forms if form.action.endswith(f"/-/calculations/{slug}/send")), None)

    def send_for_calculation(self, form: Form) -> int:
        """Press it; the status of the answer, whatever it is."""
        return self._http.post(form.action, data=form.hidden()).status_code

    def answers_kept(self) -> int:
        """How many answers of services the page shows."""
        return sum(form.action.endswith("/drop") for form in read_forms(self._page("/-/calculations")))

    def withdraw_calculation(self, slug: str) -> None:
        """Withdraw the consent, in one step, on the same page."""
        form = self._form("/-/calculations", action_ends_with=f"/-/calculations/{slug}/withdraw")
        self._post(form.action, form.hidden())

    def press_challenge(self, act: str) -> int:
        """Press the first button of a challenge (`join`, `tell`, `leave`) on its page; the status of the answer."""
        form = self._form("/-/challenges", action_ends_with=f"/{act}")
        return self._http.post(form.action, data=form.hidden()).status_code

    def withdraw(self, grant: str) -> None:
        """Withdraw one grant, in one step, on the consent centre."""
        form = self._form("/-/my-data", action_ends_with=f"/-/grants/{grant}/withdraw")
        self._post(form.action, form.hidden())

    def proposals(self) -> list[Form]:
        """The proposals that wait for an approval."""
        return [form for form in read_forms(self._page("/-/twin")) if form.action.endswith("/approve")]

    def approve(self, form: Form) -> None:
        """Approve one proposal exactly as shown."""
        self._post(form.action, form.hidden())

    def page(self, address: str) -> str:
        """A page as it is sent.

        Raises:
            JourneyError: it is not answered with 200.
        """
        return self._page(address)

    def json(self, address: str) -> Any:
        """What a page's own script would read."""
        response = self._http.get(address, timeout=_COUNTED_ANEW_WITHIN_SECONDS)
        if response.status_code != 200:
            raise VisitorError(f"GET {address} answered {response.status_code}")
        return response.json()

    def csrf_token(self) -> str:
        """The session's token against forged requests, as the pages carry it."""
        for form in read_forms(self._page("/-/my-data")):
            if "csrf" in form.hidden():
                return form.hidden()["csrf"]
        raise VisitorError("no page carries a token for forms")

    def listen(self) -> EventStream:
        """Open the citizen's live stream."""
        answer = self._http.post("/-/live/ticket", data={"csrf": self.csrf_token()})
        if answer.status_code != 200:
            raise VisitorError(f"the live ticket answered {answer.status_code}")
        return EventStream(answer.json()["url"], origin=self.base_url)


class EventStream:
    """A server-sent event stream, read by a thread of its own."""

    def __init__(self, url: str, *, origin: str) -> None:
        self._http = httpx.Client(timeout=httpx.Timeout(10.0, read=60.0))
        self._request = self._http.stream("GET", url, headers={"Accept": "text/event-stream", "Origin": origin})
        self._response = self._request.__enter__()
        if self._response.status_code != 200:
            raise VisitorError(f"the live stream answered {self._response.status_code}")
        self.events: list[tuple[float, str, Any]] = []
        self._arrived = threading.Condition()
        threading.Thread(target=self._read, name="event-stream", daemon=True).start()

    def _read(self) -> None:
        try:
            for name, data in self._parse():
                with self._arrived:
                    self.events.append((time.monotonic(), name, data))
                    self._arrived.notify_all()
        except (httpx.HTTPError, httpx.StreamError):
            return

    def _parse(self) -> Iterator[tuple[str, Any]]:
        name, data = "message", []
        for line in self._response.iter_lines():
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].strip())
            elif not line and data:
                text = "\n".join(data)
                try:
                    yield name, json.loads(text)
                except ValueError:
                    yield name, text
                name, data = "message", []

    def count(self, name: str) -> int:
        """How many events of one name have arrived."""
        with self._arrived:
            return sum(1 for _, each, _ in self.events if each == name)

    def wait_for(self, name: str, more_than: int, timeout_seconds: float) -> bool:
        """Wait until more than so many events of one name have arrived."""
        deadline = time.monotonic() + timeout_seconds
        with self._arrived:
            while sum(1 for _, each, _ in self.events if each == name) <= more_than:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._arrived.wait(remaining):
                    return sum(1 for _, each, _ in self.events if each == name) > more_than
        return True

    def close(self) -> None:
        """End the stream."""
        self._response.close()
        self._http.close()
