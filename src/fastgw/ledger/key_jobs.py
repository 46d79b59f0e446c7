"""Decides how keys are made, replaced, changed and revoked through the API; the text is shown once and kept nowhere."""

import secrets
from typing import Any

from ..model import Rate
from .accounts import find
from .errors import Conflict, Invalid, NotFound, ReadOnly
from .key_table import HINT, SELECT, KeyRow, id_of, number_of, parse_id
from .parts import Parts
from .rules import check_budget, check_expires, check_label, check_models, check_rate
from .store import Store
from .views import KeyView
from .writer import Turn

PREFIX = "fgw_"
INSERT = "INSERT INTO key VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
UPDATE = (
    "UPDATE key SET name = ?, rate_count = ?, rate_period_ns = ?, rate_burst = ?, budget = ?, period = ?, expires = ?,"
    " token_count = ?, token_period_ns = ?, models = ?, status = ? WHERE number = ?"
)
NO_RATE = Rate(0, 0, 0)


class KeyJobs:
    """Each method is the work of one job of the writer."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def create(
        self,
        turn: Turn,
        account: str,
        name: str,
        rate: Rate | None,
        budget: int,
        period: str,
        expires_s: int,
        token_rate: Rate | None = None,
        models: tuple[str, ...] = (),
        identity: str = "",
    ) -> tuple[int, str]:
        """A new key; (its number, its text). By `identity` it is a certificate, of which there is nothing to show."""
        check_label(name)
        check_rate(rate)
        check_rate(token_rate)
        check_budget(budget, period)
        check_expires(expires_s, turn.now_s)
        allowed = check_models(models)
        owner = find(turn.store, account)
        if owner.status == "closed":
            raise Conflict(f'account "{account}" is closed')
        limit, tokens = rate or NO_RATE, token_rate or NO_RATE
        terms = (limit.count, limit.period_ns, limit.burst, budget, period, 0, expires_s, "active", turn.now_s)
        number, text = self._insert(
            turn, KeyRow(0, b"", owner.id, name, "", *terms, tokens.count, tokens.period_ns, allowed), identity
        )
        return number, "" if identity else text

    def _insert(self, turn: Turn, row: KeyRow, identity: str = "") -> tuple[int, str]:
        """Add a key with a new text, and the budget of `row.meter`, or one of its own where that is 0."""
        text = identity or PREFIX + secrets.token_urlsafe(32)
        digest = self.parts.segment.digest(text.encode())
        number = number_of(digest)
        if identity and (self.parts.keys.find(number) >= 0 or turn.store.row(f"{SELECT} WHERE number = ?", (number,))):
            raise Conflict(f'the certificate is a key already: "{id_of(number)}"')
        row = row._replace(number=number, digest=digest, hint=text[-HINT:], meter=row.meter or number)
        turn.store.execute(INSERT, row)
        turn.then(self.parts.keys.prepare(turn.store, row, turn.now_s))
        return number, text

    def rotate(self, turn: Turn, key_id: str, grace_s: int) -> tuple[int, str]:
        """A key in the place of another, which ends at once, or in `grace_s` seconds. Both share one budget."""
        row = self._changeable(turn.store, key_id)
        if row.status != "active" or 0 < row.expires_s <= turn.now_s:
            raise Conflict(f'key "{key_id}" is {"revoked" if row.status != "active" else "expired"}')
        if grace_s < 0:
            raise Invalid("grace must not be negative")
        replacement = self._insert(turn, row._replace(created_s=turn.now_s))
        if grace_s:
            end = turn.now_s + grace_s
            self._update(turn, row._replace(expires_s=min(row.expires_s or end, end)))
        else:
            self._update(turn, row._replace(status="revoked"))
        return replacement

    def change(self, turn: Turn, key_id: str, changes: dict[str, Any]) -> None:
        """Change fields of a key: name, rate, token_rate, models, budget, period, expires_s."""
        row = self._changeable(turn.store, key_id)
        if row.status != "active":
            raise Conflict(f'key "{key_id}" is revoked')
        if "rate" in changes:
            rate = changes.pop("rate")
            check_rate(rate)
            limit = rate or NO_RATE
            row = row._replace(rate_count=limit.count, rate_period_ns=limit.period_ns, rate_burst=limit.burst)
        if "token_rate" in changes:
            rate = changes.pop("token_rate")
            check_rate(rate)
            limit = rate or NO_RATE
            row = row._replace(token_count=limit.count, token_period_ns=limit.period_ns)
        if "models" in changes:
            changes["models"] = check_models(changes["models"])
        row = row._replace(**changes)
        check_label(row.name)
        check_budget(row.budget, row.period)
        if "expires_s" in changes:
            check_expires(row.expires_s, turn.now_s)
        self._update(turn, row)

    def revoke(self, turn: Turn, key_id: str) -> None:
        """Refuse the key from now on; doing it again changes nothing."""
        self._update(turn, self._changeable(turn.store, key_id)._replace(status="revoked"))

    def _update(self, turn: Turn, row: KeyRow) -> None:
        limit = row.rate or NO_RATE
        values = (row.name, limit.count, limit.period_ns, limit.burst, row.budget, row.period, row.expires_s)
        turn.store.execute(UPDATE, (*values, row.token_count, row.token_period_ns, row.models, row.status, row.number))
        turn.then(self.parts.keys.prepare(turn.store, row, turn.now_s))

    def _changeable(self, store: Store, key_id: str) -> KeyRow:
        number = parse_id(key_id)
        values = store.row(f"{SELECT} WHERE number = ?", (number,))
        if values is not None:
            return KeyRow(*values)
        if self.parts.keys.find(number) >= 0:
            raise ReadOnly(f'key "{key_id}" is declared in the configuration, which alone may change it')
        raise NotFound(f'key "{key_id}": no key has this id')

    # Looking

    def view(self, store: Store, key_id: str) -> KeyView:
        """Raises NotFound."""
        number = parse_id(key_id)
        index = self.parts.keys.find(number)
        if index >= 0:
            return self.parts.keys.view(store, index, self.parts.now_s)
        values = store.row(f"{SELECT} WHERE number = ?", (number,))
        if values is None:
            raise NotFound(f'key "{key_id}": no key has this id')
        row = KeyRow(*values)  # of an account that is closed
        return KeyView(
            id=key_id,
            account=store.one("SELECT name FROM account WHERE id = ?", (row.account,))[0],
            name=row.name,
            hint=row.hint,
            origin="api",
            status=row.status,
            rate=row.rate,
            budget_nanos=row.budget,
            budget_period=row.period,
            budget_used_nanos=0,
            budget_resets_s=0,
            expires_s=row.expires_s,
            created_s=row.created_s,
            token_rate=row.token_rate,
            models=row.scope,
        )
