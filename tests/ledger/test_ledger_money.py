"""Money moves by entries: what each move does to balance, segment and ledger, and what is refused."""

import threading

import pytest
from desk import Desk, a_config, an_account

from fastgw.ledger.errors import Conflict, IdempotencyMismatch, Insufficient, Invalid, LedgerError, NotFound
from fastgw.ledger.views import EntryView
from fastgw.units import MONEY_MAX_NANOS


@pytest.fixture
def acme(desk: Desk) -> Desk:
    """An account made through the API."""
    desk.books.create_account("acme")
    return desk


def test_a_new_account_has_nothing_and_its_creation_is_seen(desk: Desk) -> None:
    view = desk.books.create_account("acme", credit_nanos=7)
    assert (view.name, view.origin, view.status, view.plan) == ("acme", "api", "active", "")
    assert (view.balance_nanos, view.held_nanos, view.available_nanos, view.credit_nanos) == (0, 0, 7, 7)
    assert view.created_s == desk.now_s
    assert desk.books.accounts() == [view]


def test_a_top_up_is_granted_when_it_is_an_entry(acme: Desk) -> None:
    entry = acme.books.top_up("acme", 500, reference="invoice 7", note="thanks")
    assert entry == EntryView(1, "acme", "topup", 500, acme.now_ns, "invoice 7", "thanks", 0)
    assert acme.balance() == 500
    assert acme.money()["granted"] == 500
    assert acme.call(500)
    assert not acme.call(1)


def test_what_is_captured_is_seen_at_once_and_entered_when_somebody_looks(acme: Desk) -> None:
    acme.books.top_up("acme", 500)
    assert acme.call(120)
    assert acme.call(30, worker=3)
    assert acme.balance() == 350
    assert acme.kinds() == [("topup", 500), ("capture", -150)]
    assert acme.kinds() == [("topup", 500), ("capture", -150)], "looking again enters nothing"


def test_captures_are_entered_once_a_minute(acme: Desk) -> None:
    acme.books.top_up("acme", 500)
    counted = []
    for second in range(240):
        assert acme.call(1)
        acme.pass_s(1)
        if second % 60 == 59:
            counted.append(acme.books.state().entries)
    assert counted == [counted[0], counted[0] + 1, counted[0] + 2, counted[0] + 3]
    assert acme.balance() == 500 - 240


def test_an_adjustment_has_a_sign_and_a_reason(acme: Desk) -> None:
    acme.books.adjust("acme", 50, note="a gift")
    acme.books.adjust("acme", -20, note="a mistake", reference="ticket 3")
    assert acme.kinds() == [("adjustment", 50), ("adjustment", -20)]
    assert acme.balance() == 30
    money = acme.money()
    assert (money["granted"], money["taken"], money["committed"]) == (50, 20, 20), "granted only ever grows"
    assert acme.call(30)
    assert not acme.call(1)
    with pytest.raises(Invalid, match="say why"):
        acme.books.adjust("acme", 1, note="")
    with pytest.raises(Invalid, match="not be 0"):
        acme.books.adjust("acme", 0, note="nothing")


def test_no_more_is_taken_than_no_call_holds(acme: Desk) -> None:
    acme.books.top_up("acme", 100)
    acme.segment.hold(0, acme.index(), 60)
    with pytest.raises(Insufficient) as refused:
        acme.books.adjust("acme", -41, note="too much")
    assert refused.value.available == 40
    assert acme.money()["committed"] == 60, "nothing is left held"
    acme.books.adjust("acme", -40, note="all that is free")
    acme.segment.capture(0, acme.index(), 60, 10)
    assert acme.balance() == 50


@pytest.mark.parametrize(
    ("amount", "message"), [(0, "positive"), (-5, "positive"), (MONEY_MAX_NANOS + 1, "at most 9000000000")]
)
def test_a_top_up_of_no_amount_is_refused(acme: Desk, amount: int, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        acme.books.top_up("acme", amount)
    assert acme.kinds() == []


def test_no_account_is_given_more_than_fits_a_word(acme: Desk) -> None:
    acme.books.change_account("acme", credit_nanos=10)
    acme.books.top_up("acme", MONEY_MAX_NANOS - 10)
    for refused in (
        lambda: acme.books.top_up("acme", 1),
        lambda: acme.books.adjust("acme", 1, note="more"),
        lambda: acme.books.change_account("acme", credit_nanos=11),
    ):
        with pytest.raises(Invalid, match="together must be at most"):
            refused()
    assert acme.money()["granted"] == MONEY_MAX_NANOS - 10


def test_nobody_is_topped_up_whom_nobody_knows(desk: Desk) -> None:
    for call in (
        lambda: desk.books.top_up("nobody", 1),
        lambda: desk.books.adjust("nobody", 1, note="?"),
        lambda: desk.books.entries("nobody"),
        lambda: desk.books.account("nobody"),
        lambda: desk.books.change_account("nobody", credit_nanos=1),
    ):
        with pytest.raises(NotFound, match='"nobody"'):
            call()


@pytest.mark.parametrize("name", ["", "a/day", "-x", "a" * 64, "a b", "ü", "a\n"])
def test_names_are_those_that_the_file_allows(desk: Desk, name: str) -> None:
    with pytest.raises(Invalid, match="name must be"):
        desk.books.create_account(name)


def test_a_name_is_given_once(acme: Desk) -> None:
    with pytest.raises(Conflict, match="has this name already"):
        acme.books.create_account("acme")


def test_accounts_come_by_name_in_pages(desk: Desk) -> None:
    for name in ("c", "a", "b", "B"):
        desk.books.create_account(name)
    assert [view.name for view in desk.books.accounts(limit=3)] == ["B", "a", "b"]
    assert [view.name for view in desk.books.accounts(after="b")] == ["c"]


def test_entries_come_in_pages(acme: Desk) -> None:
    numbers = [acme.books.top_up("acme", 1).id for _ in range(5)]
    assert [entry.id for entry in acme.books.entries("acme", limit=2)] == numbers[:2]
    assert [entry.id for entry in acme.books.entries("acme", after=numbers[1])] == numbers[2:]


def test_more_accounts_than_there_is_room_for_are_a_conflict(desk: Desk) -> None:
    for number in range(64):
        desk.books.create_account(f"a{number}")
    with pytest.raises(Conflict, match="no room"):
        desk.books.create_account("one-more")
    assert len(desk.books.accounts()) == 64
    desk.books.top_up("a3", 5)
    assert desk.balance("a3") == 5


# Once for each idempotency key


def test_a_repeated_top_up_is_the_same_entry(acme: Desk) -> None:
    first = acme.books.top_up("acme", 500, reference="r", idempotency_key="k")
    assert acme.call(100)
    assert acme.books.top_up("acme", 500, reference="r", idempotency_key="k") == first
    acme.restart()
    assert acme.books.top_up("acme", 500, reference="r", idempotency_key="k") == first
    acme.reboot()
    assert acme.books.top_up("acme", 500, reference="r", idempotency_key="k") == first
    assert acme.balance() == 400


@pytest.mark.parametrize(
    "other",
    [
        lambda desk: desk.books.top_up("acme", 501, idempotency_key="k"),
        lambda desk: desk.books.top_up("acme", 500, note="n", idempotency_key="k"),
        lambda desk: desk.books.top_up("acme", 500, expires_s=desk.now_s + 9, idempotency_key="k"),
        lambda desk: desk.books.top_up("other", 500, idempotency_key="k"),
        lambda desk: desk.books.adjust("acme", 500, note="n", idempotency_key="k"),
    ],
)
def test_an_idempotency_key_is_for_one_request(acme: Desk, other: object) -> None:
    assert callable(other)
    acme.books.create_account("other")
    acme.books.top_up("acme", 500, idempotency_key="k")
    with pytest.raises(IdempotencyMismatch, match="used before"):
        other(acme)
    assert (acme.balance(), acme.balance("other")) == (500, 0)


def test_a_refused_request_does_not_use_its_idempotency_key(acme: Desk) -> None:
    with pytest.raises(Insufficient):
        acme.books.adjust("acme", -5, note="n", idempotency_key="k")
    acme.books.top_up("acme", 5)
    acme.books.adjust("acme", -5, note="n", idempotency_key="k")
    acme.books.adjust("acme", -5, note="n", idempotency_key="k")
    assert acme.balance() == 0


def test_fifty_top_ups_at_once_with_one_key_are_one(acme: Desk) -> None:
    """And with fifty keys they are fifty."""
    acme.books.start()
    answers: list[EntryView] = []
    problems: list[LedgerError] = []

    def top_up(amount: int, key: str) -> None:
        try:
            answers.append(acme.books.top_up("acme", amount, idempotency_key=key))
        except LedgerError as error:
            problems.append(error)

    def at_once(requests: list[tuple[int, str]]) -> None:
        threads = [threading.Thread(target=top_up, args=request) for request in requests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    at_once([(100, "k")] * 50)
    assert (len(answers), len(set(answers)), problems) == (50, 1, [])
    at_once([(101, "k")] * 10)
    assert {type(problem) for problem in problems} == {IdempotencyMismatch}
    before = acme.books.state().commits
    at_once([(1, f"k{number}") for number in range(50)])
    assert acme.balance() == 150
    assert acme.books.state().commits - before < 50, "who waits together is committed together"


# Credit lines, terms


def test_a_credit_line_is_spent_below_nothing(acme: Desk) -> None:
    acme.books.change_account("acme", credit_nanos=30)
    assert acme.call(30)
    assert not acme.call(1)
    assert acme.balance() == -30
    acme.books.top_up("acme", 10)
    assert acme.balance() == -20
    view = acme.books.change_account("acme", credit_nanos=0)
    assert (view.available_nanos, acme.call(1)) == (-20, False)


def test_terms_are_changed_one_by_one(acme: Desk) -> None:
    later = acme.now_s + 100
    acme.books.change_account("acme", expires_s=later)
    view = acme.books.change_account("acme", suspended=True)
    assert (view.expires_s, view.status) == (later, "suspended")
    assert (acme.money()["expires_s"], acme.money()["status"]) == (later, 2)
    assert acme.books.change_account("acme", suspended=False, expires_s=0).status == "active"
    assert (acme.money()["expires_s"], acme.money()["status"]) == (0, 1)
    with pytest.raises(Invalid, match="no plan has this name"):
        acme.books.change_account("acme", plan="gold")
    with pytest.raises(Invalid, match="in the future"):
        acme.books.change_account("acme", expires_s=acme.now_s)


def test_a_closed_account_is_not_topped_up_and_its_money_stays(desk: Desk) -> None:
    desk.apply(accounts=[an_account(balance=100)])
    desk.call(30)
    desk.apply()
    view = desk.books.account("acme")
    assert (view.status, view.balance_nanos, desk.money()["status"]) == ("closed", 70, 3)
    with pytest.raises(Conflict, match="is closed"):
        desk.books.top_up("acme", 1)
    desk.reboot()
    assert desk.books.account("acme").balance_nanos == 70
    desk.books.adjust("acme", -50, note="paid out")
    with pytest.raises(Insufficient):
        desk.books.adjust("acme", -21, note="too much")
    desk.books.apply(a_config([an_account(balance=100)]))
    assert desk.balance() == 20
    assert desk.kinds() == [("opening", 100), ("capture", -30), ("adjustment", -50)]
