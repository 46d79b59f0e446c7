"""Credit that expires: what is spent first, what is taken when, and allowances month by month."""

import pytest
from desk import DAY_S, SECOND, Desk, an_account

from fastgw.ledger.errors import Invalid
from fastgw.model import Plan

HOUR_S = 3600


@pytest.fixture
def acme(desk: Desk) -> Desk:
    desk.books.create_account("acme")
    return desk


def top_up(desk: Desk, amount: int, hours: int = 0) -> None:
    """Credit that expires in so many hours, 0: never."""
    desk.books.top_up("acme", amount, expires_s=desk.now_s + hours * HOUR_S if hours else 0)


def pass_hours(desk: Desk, hours: int) -> None:
    desk.pass_s(hours * HOUR_S)


def test_what_is_left_of_expired_credit_is_taken(acme: Desk) -> None:
    top_up(acme, 100, hours=2)
    top_up(acme, 50)
    assert acme.call(30)
    acme.pass_s(2 * HOUR_S - 1)
    assert acme.balance() == 120
    acme.pass_s(1)
    assert acme.balance() == 50
    assert acme.kinds() == [("topup", 100), ("topup", 50), ("capture", -30), ("expiry", -70)]
    assert acme.books.entries("acme")[-1].reference == "entry 1"
    assert acme.money()["granted"] == 150, "granted only ever grows"


def test_credit_that_expires_first_is_spent_first(acme: Desk) -> None:
    top_up(acme, 100)
    top_up(acme, 100, hours=3)
    top_up(acme, 100, hours=1)
    assert acme.call(150)
    pass_hours(acme, 1)
    assert acme.balance() == 150, "the one of one hour was spent whole"
    pass_hours(acme, 2)
    assert acme.balance() == 100, "and half of the one of three hours"


def test_a_call_is_charged_to_credit_that_was_there(acme: Desk) -> None:
    top_up(acme, 100)
    assert acme.call(40)
    top_up(acme, 100, hours=1)
    pass_hours(acme, 1)
    assert acme.balance() == 60


def test_adjustments_are_taken_from_credit_that_expires(acme: Desk) -> None:
    top_up(acme, 100, hours=1)
    top_up(acme, 100)
    acme.books.adjust("acme", -70, note="mistake")
    pass_hours(acme, 1)
    assert acme.balance() == 100


def test_what_the_file_takes_back_is_taken_from_credit_that_never_expires(desk: Desk) -> None:
    desk.apply(accounts=[an_account(balance=100)])
    top_up(desk, 50, hours=1)
    desk.apply(accounts=[an_account(balance=20)])
    assert desk.balance() == 70
    desk.call(10)
    desk.apply(accounts=[an_account(balance=0)])
    pass_hours(desk, 1)
    assert desk.balance() == 0
    assert desk.kinds()[-1] == ("expiry", -40)


def test_what_was_owed_is_paid_first(acme: Desk) -> None:
    acme.books.change_account("acme", credit_nanos=80)
    assert acme.call(80)
    top_up(acme, 100, hours=1)
    pass_hours(acme, 1)
    assert acme.balance() == 0, "80 of it paid the debt, 20 expired"


def test_what_a_call_holds_is_not_taken_and_the_rest_as_soon_as_it_ends(acme: Desk) -> None:
    top_up(acme, 100, hours=1)
    assert acme.segment.hold(0, acme.index(), 60)
    pass_hours(acme, 1)
    assert acme.balance() == 60
    acme.segment.capture(0, acme.index(), 60, 25)
    acme.pass_s(1)
    assert acme.balance() == 0
    assert acme.kinds() == [("topup", 100), ("expiry", -40), ("capture", -25), ("expiry", -35)]


@pytest.mark.parametrize("again", ["restart", "reboot"])
def test_credit_that_expired_while_nobody_ran_is_taken_at_the_start(acme: Desk, again: str) -> None:
    top_up(acme, 100, hours=1)
    assert acme.call(10)
    acme.turn()
    acme.now_ns += 2 * HOUR_S * SECOND
    getattr(acme, again)()
    assert acme.balance() == 0
    assert acme.kinds()[-1] == ("expiry", -90)


def test_more_credit_than_one_turn_takes_is_taken_by_the_next_turns(
    acme: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastgw.ledger.expiry.BATCH", 4)
    for _ in range(10):
        top_up(acme, 2, hours=1)
    assert acme.segment.hold(0, acme.index(), 13)
    pass_hours(acme, 1)
    assert acme.balance() == 13
    acme.segment.capture(0, acme.index(), 13, 1)
    acme.pass_s(1)
    assert acme.balance() == 0


def test_credit_cannot_have_expired_before(acme: Desk) -> None:
    with pytest.raises(Invalid, match="in the future"):
        acme.books.top_up("acme", 1, expires_s=acme.now_s)


# Allowances

GOLD = Plan("gold", allowance_nanos=100, timezone="Asia/Kolkata")
MONTH_ENDS_S = 1_790_793_000  # 2026-10-01 00:00 in Kolkata


@pytest.fixture
def gold(desk: Desk) -> Desk:
    """An account with an allowance."""
    desk.apply(accounts=[an_account(plan="gold")], plans=[GOLD])
    return desk


def to_month_end(desk: Desk) -> None:
    desk.pass_s(MONTH_ENDS_S - desk.now_s)


def test_an_allowance_is_given_at_once_and_anew_every_month(gold: Desk) -> None:
    entry = gold.books.entries("acme")[0]
    assert (entry.kind, entry.amount_nanos, entry.expires_s) == ("allowance", 100, MONTH_ENDS_S)
    assert gold.call(30)
    gold.pass_s(MONTH_ENDS_S - gold.now_s - 1)
    assert gold.balance() == 70
    gold.pass_s(1)
    assert gold.balance() == 100
    assert gold.kinds() == [("allowance", 100), ("capture", -30), ("expiry", -70), ("allowance", 100)]
    for _ in range(3):
        gold.pass_s(31 * DAY_S)
    assert gold.balance() == 100
    assert gold.kinds()[-6:] == [("expiry", -100), ("allowance", 100)] * 3


@pytest.mark.parametrize("again", ["restart", "reboot"])
def test_an_allowance_is_given_once_a_month(gold: Desk, again: str) -> None:
    assert gold.call(30)
    gold.turn()
    getattr(gold, again)()
    gold.apply(accounts=[an_account(plan="gold")], plans=[GOLD])
    assert gold.balance() == 70
    gold.now_ns += 40 * DAY_S * SECOND
    getattr(gold, again)()
    assert gold.balance() == 100


def test_an_allowance_is_spent_before_what_was_paid(gold: Desk) -> None:
    gold.books.top_up("acme", 50, expires_s=gold.now_s + HOUR_S)
    assert gold.call(120)
    pass_hours(gold, 1)
    assert gold.balance() == 0
    assert gold.kinds()[-1] == ("expiry", -30)


def test_another_allowance_in_the_middle_of_a_month_counts_from_the_next(gold: Desk) -> None:
    more = Plan("gold", allowance_nanos=300, timezone="Asia/Kolkata")
    gold.apply(accounts=[an_account(plan="gold")], plans=[more])
    assert gold.balance() == 100
    to_month_end(gold)
    assert gold.balance() == 300


def test_a_plan_of_another_zone_gives_no_second_allowance_for_the_month(gold: Desk) -> None:
    west = Plan("west", allowance_nanos=100, timezone="America/Los_Angeles")
    gold.apply(accounts=[an_account(plan="west")], plans=[GOLD, west])
    assert gold.kinds() == [("allowance", 100)]


def test_nobody_gets_one_without_a_plan_a_subscription_or_an_open_account(desk: Desk) -> None:
    accounts = [
        an_account("none"),
        an_account("over", plan="gold", expires_s=desk.now_s - 5),
        an_account("soon", plan="gold", expires_s=desk.now_s + 5),
        an_account("suspended", plan="gold", suspended=True),
        an_account("closed", plan="gold"),
    ]
    desk.now_ns -= 60 * DAY_S * SECOND
    desk.apply(accounts=accounts, plans=[Plan("gold")])
    desk.now_ns += 60 * DAY_S * SECOND
    desk.apply(accounts=accounts[:-1], plans=[GOLD])
    assert {view.name: view.balance_nanos for view in desk.books.accounts()} == {
        "none": 0, "over": 0, "soon": 100, "suspended": 100, "closed": 0,
    }  # fmt: skip


def test_an_account_of_the_api_gets_it_when_it_takes_the_plan(desk: Desk) -> None:
    desk.apply(plans=[GOLD])
    desk.books.create_account("acme")
    desk.turn()
    assert desk.balance() == 0
    desk.books.change_account("acme", plan="gold")
    desk.turn()
    assert desk.balance() == 100
    desk.books.create_account("second", plan="gold")
    desk.turn()
    assert desk.balance("second") == 100
