"""Whatever happens in whatever order, the ledger says what a model of thirty lines says."""

import shutil
import tempfile
from pathlib import Path

import pytest
from desk import Desk, an_account
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastgw.ledger.errors import IdempotencyMismatch, Insufficient
from fastgw.ledger.views import EntryView

NAMES = st.sampled_from(["file", "api"])
AMOUNTS = st.integers(1, 50)


class Model:
    """One account: lots that expire, in the order they are spent, and the rest, which may be a debt."""

    def __init__(self) -> None:
        self.lots: list[list[int]] = []  # [expires_s, amount]
        self.rest = 0
        self.held: list[int] = []

    @property
    def balance(self) -> int:
        return self.rest + sum(amount for _, amount in self.lots)

    def add(self, amount: int, expires_s: int) -> None:
        if not expires_s:
            self.rest += amount
            return
        debt = min(amount, max(0, -self.rest))
        self.rest += debt
        self.lots.append([expires_s, amount - debt])
        self.lots.sort(key=lambda lot: lot[0])

    def spend(self, amount: int) -> None:
        for lot in self.lots:
            part = min(lot[1], amount)
            lot[1] -= part
            amount -= part
        self.rest -= amount

    def retract(self, amount: int) -> None:
        """Take from what never expires first."""
        part = min(amount, max(0, self.rest))
        self.rest -= part
        self.spend(amount - part)

    def expire(self, now_s: int, free: int) -> None:
        """As far as no call holds it."""
        for lot in self.lots:
            if lot[0] <= now_s:
                part = min(lot[1], free)
                lot[1] -= part
                free -= part
        self.lots = [lot for lot in self.lots if lot[1]]


class Ledger(RuleBasedStateMachine):
    """Two accounts, one of the file and one of the API."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fastgw-test-", dir="/dev/shm"))
        self.desk = Desk(self.folder)
        self.desk.start(accounts=[an_account("file", 100, credit=20)])
        self.desk.books.create_account("api")
        self.models = {"file": Model(), "api": Model()}
        self.models["file"].add(100, 0)
        self.opened = 100
        self.credit = {"file": 20, "api": 0}
        self.answers: dict[str, tuple[object, EntryView]] = {}

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            self.desk.books.close()
            shutil.rmtree(self.folder)

    def free(self, name: str) -> int:
        model = self.models[name]
        return max(0, model.balance + self.credit[name] - sum(model.held))

    # What people do

    @rule(name=NAMES, amount=AMOUNTS, hours=st.integers(0, 3), key=st.sampled_from(["", "k1", "k2", "k3"]))
    def top_up(self, name: str, amount: int, hours: int, key: str) -> None:
        expires_s = self.desk.now_s + 3600 * hours if hours else 0
        request = (name, amount, expires_s)
        try:
            entry = self.desk.books.top_up(name, amount, expires_s=expires_s, idempotency_key=key)
        except IdempotencyMismatch:
            assert self.answers[key][0] != request
            return
        if key and key in self.answers:
            assert self.answers[key] == (request, entry)
            return
        if key:
            self.answers[key] = (request, entry)
        self.models[name].add(amount, expires_s)

    @rule(name=NAMES, amount=AMOUNTS)
    def take(self, name: str, amount: int) -> None:
        if amount > self.free(name):
            with pytest.raises(Insufficient) as refused:
                self.desk.books.adjust(name, -amount, note="n")
            assert refused.value.available == self.free(name)
        else:
            self.desk.books.adjust(name, -amount, note="n")
            self.models[name].spend(amount)

    @rule(nanos=st.integers(0, 60))
    def change_credit(self, nanos: int) -> None:
        self.desk.books.change_account("api", credit_nanos=nanos)
        self.credit["api"] = nanos

    @rule(balance=st.integers(0, 200))
    def load(self, balance: int) -> None:
        self.desk.apply(accounts=[an_account("file", balance, credit=20)])
        model = self.models["file"]
        if balance >= self.opened:
            model.add(balance - self.opened, 0)
            self.opened = balance
        else:
            part = max(0, min(self.opened - balance, model.balance, self.free("file")))
            model.retract(part)
            self.opened -= part
        self.expire()

    # What workers do

    @rule(name=NAMES, cost=AMOUNTS, worker=st.integers(0, 2))
    def call(self, name: str, cost: int, worker: int) -> None:
        served = self.desk.call(cost, name, worker)
        assert served == (cost <= self.free(name))
        if served:
            self.models[name].spend(cost)

    @rule(name=NAMES, cost=AMOUNTS)
    def hold(self, name: str, cost: int) -> None:
        held = self.desk.segment.hold(0, self.desk.index(name), cost)
        assert held == (cost <= self.free(name))
        if held:
            self.models[name].held.append(cost)

    @precondition(lambda self: any(model.held for model in self.models.values()))
    @rule(share=st.integers(0, 4))
    def settle(self, share: int) -> None:
        name = next(name for name, model in self.models.items() if model.held)
        held = self.models[name].held.pop(0)
        cost = held * share // 4
        self.desk.segment.capture(0, self.desk.index(name), held, cost)
        self.models[name].spend(cost)
        # What expired while it was held is taken, or not, before the next debit: let it be now.
        self.desk.pass_s(1)
        self.expire()

    # What happens

    @rule(seconds=st.sampled_from([1, 59, 1800, 3600]))
    def wait(self, seconds: int) -> None:
        self.desk.turn()
        self.desk.pass_s(seconds)
        self.expire()

    @rule()
    def commit(self) -> None:
        self.desk.turn()

    @rule()
    def restart(self) -> None:
        opened = self.desk.config.accounts[0].balance_nanos
        self.desk.restart()
        self.load(opened)

    @rule(clean=st.booleans())
    def reboot(self, clean: bool) -> None:
        self.desk.turn()
        opened = self.desk.config.accounts[0].balance_nanos
        self.desk.reboot(clean)
        for model in self.models.values():
            model.held.clear()
        self.load(opened)

    def expire(self) -> None:
        for name, model in self.models.items():
            model.expire(self.desk.now_s, self.free(name))

    # What is true

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        if not hasattr(self, "models"):
            return
        for name, model in self.models.items():
            view = self.desk.books.account(name)
            assert view.balance_nanos == model.balance
            assert view.held_nanos == sum(model.held)
            money = self.desk.money(name)
            assert money["granted"] - money["captured"] - money["taken"] == model.balance

    @invariant()
    def the_audit_is_silent(self) -> None:
        if hasattr(self, "models"):
            assert self.desk.audit().differences == []


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=15, stateful_step_count=20, suppress_health_check=list(HealthCheck))
