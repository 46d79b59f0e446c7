"""Decides how a command asks the admin API: which failures are tried again, and how each is told."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

import httpx

from .. import __version__
from .outcome import Refused, Unreachable
from .place import Place

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 600.0  # an audit reads every account
PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.5, 2.0, 2.0)  # before each further try: a keeper that was killed is back sooner
PAGE = 1_000

Query = Mapping[str, str | int | None]
# The server did nothing with these: it is known that nothing happened.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout)


class Client:
    """One gateway's admin API. Every method raises Refused or Unreachable with a sentence for people."""

    def __init__(self, place: Place, transport: httpx.BaseTransport | None = None) -> None:
        self.place = place
        self._http = httpx.Client(
            base_url=place.url,
            headers={"Authorization": f"Bearer {place.token}", "User-Agent": f"fastgw/{__version__}"},
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=False,  # the token is for nobody else: no proxy, no .netrc
            transport=transport,
        )

    def get(self, path: str, query: Query | None = None) -> Any:
        return self._ask("GET", path, query=query)

    def post(self, path: str, body: Any = None) -> Any:
        """Once: what is not known to be harmless is never sent again."""
        return self._ask("POST", path, body)

    def patch(self, path: str, body: Any) -> Any:
        return self._ask("PATCH", path, body)

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def post_once(self, path: str, body: Any, idempotency_key: str | None = None) -> Any:
        """Send it until it is answered, a few times at most; the key sees to it that it happens once."""
        key = idempotency_key or uuid4().hex
        doubt = ""
        ended: Refused | Unreachable
        for number, pause_s in enumerate((0.0, *PAUSES_S)):
            if number == 1:
                print("fastgw: no answer yet, trying again", file=sys.stderr, flush=True)
            time.sleep(pause_s)
            try:
                response = self._send("POST", path, body, headers={"Idempotency-Key": key})
            except httpx.TransportError as error:
                if not isinstance(error, _NOT_SENT):
                    doubt = _in_doubt(key)
                ended = Unreachable(f"{self._why(error)}{doubt}")
                continue
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return self._taken(response)
            doubt = _in_doubt(key)  # the ledger could not say that it has it, which is not that it has it not
            ended = Refused(f"{_explain(response)}{doubt}")
        raise ended

    def items(self, path: str, limit: int, query: Query | None = None) -> Iterator[Any]:
        """The items of a list, page by page; `limit` 0 is all of them."""
        cursor: str | int | None = (query or {}).get("cursor")
        left = limit or sys.maxsize
        while left:
            page = self.get(path, {**(query or {}), "limit": min(left, PAGE), "cursor": cursor})
            yield from page["items"]
            left -= len(page["items"])
            cursor = page["next"]
            if cursor is None or not page["items"]:
                return

    def onward(self, path: str, query: Query, cursor: str) -> Iterator[Any]:
        """The items of a list that grows, those after `cursor`, until there are no more now."""
        while True:
            page = self.get(path, {**query, "limit": PAGE, "cursor": cursor})
            yield from page["items"]
            cursor = page["next"]
            if len(page["items"]) < PAGE or cursor is None:
                return

    def follow(self, path: str, query: Query, pause_s: float, wait: Callable[[float], None]) -> Iterator[Any]:
        """The latest items of a list that grows, and those that come, for ever; a gateway that is away is waited for.

        Raises only for what goes wrong before the first answer.
        """
        page = self.get(path, query)
        is_away = False
        while True:
            yield from page["items"]
            cursor = page["next"] if page["next"] is not None else "0"  # nothing was there: all that comes is new
            if len(page["items"]) < PAGE:
                wait(pause_s)
            try:
                page = self.get(path, {**query, "limit": PAGE, "cursor": cursor})
                is_away = False
            except Unreachable as error:
                if not is_away:
                    print(f"fastgw: {error.format_message()} Waiting for it.", file=sys.stderr, flush=True)
                is_away = True
                page = {"items": [], "next": cursor}

    def _ask(self, method: str, path: str, body: Any = None, query: Query | None = None) -> Any:
        try:
            return self._taken(self._send(method, path, body, query))
        except httpx.TransportError as error:
            doubt = ""
            if method != "GET" and not isinstance(error, _NOT_SENT):
                doubt = " It is not known whether it was done: look before you do it again."
            raise Unreachable(f"{self._why(error)}{doubt}") from None

    def _send(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            return self._http.request(method, path, json=body, params=given, headers=headers)
        except httpx.InvalidURL as error:
            raise Unreachable(f"{self.place.url} ({self.place.address_origin}) is no address: {error}") from None

    def _taken(self, response: httpx.Response) -> Any:
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise Refused(
                f"the gateway at {self.place.url} ({self.place.address_origin}) does not know the token of "
                f"{self.place.token_origin}: it is another gateway's. Give both with -c FILE, or with --admin and "
                "--state-dir"
            )
        if not response.is_success:
            raise Refused(_explain(response))
        if response.status_code == httpx.codes.NO_CONTENT:
            return None
        try:
            return response.json()
        except ValueError:
            raise Refused(f"{self.place.url} answers, but it is no admin API of fastgw") from None

    def _why(self, error: httpx.TransportError) -> str:
        reason = str(error).rpartition("] ")[2] or type(error).__name__
        return (
            f"no gateway answers at {self.place.url} ({self.place.address_origin}): {reason}. "
            "Start one with `fastgw serve`, or say where it is: -c FILE, or --admin ADDRESS."
        )


def _in_doubt(key: str) -> str:
    return (
        f" It is not known whether it was done: repeat the command with --idempotency-key {key}, and it happens once."
    )


def _explain(response: httpx.Response) -> str:
    """A problem's own words (RFC 9457), every place that it names included."""
    try:
        problem = response.json()
        detail, places = str(problem["detail"]), problem.get("problems") or []
        told = [f"{place['where']}: {place['message']}" for place in places]
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"the admin API answered {response.status_code} {response.reason_phrase}"
    others = [line for line in told if line not in detail]
    return "\n".join([detail, *others])
