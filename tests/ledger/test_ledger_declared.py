"""What the file declares is made, changed and closed; its balance is what it has granted in all."""

from pathlib import Path

import pytest
from desk import Desk, a_config, a_key, an_account

from fastgw.ledger.errors import LoadError, ReadOnly
from fastgw.model import Plan

GOLD = Plan("gold", day_quota=10)


def test_a_balance_in_the_file_is_granted_once(desk: Desk) -> None:
    desk.apply(accounts=[an_account(balance=100, credit=5)])
    desk.call(40)
    for again in (desk.restart, desk.reboot, lambda: desk.apply(accounts=[an_account(balance=100, credit=5)])):
        again()
        assert (desk.balance(), desk.money()["credit"]) == (60, 5)
    assert desk.kinds() == [("opening", 100), ("capture", -40)]


def test_a_higher_balance_in_the_file_grants_the_difference(desk: Desk) -> None:
    desk.apply(accounts=[an_account(balance=100)])
    desk.call(100)
    desk.apply(accounts=[an_account(balance=130)])
    assert desk.balance() == 30
    assert desk.kinds() == [("opening", 100), ("capture", -100), ("opening", 30)]


def test_a_lower_balance_in_the_file_takes_the_difference(desk: Desk) -> None:
    desk.apply(accounts=[an_account(balance=100)])
    desk.call(10)
    desk.apply(accounts=[an_account(balance=70)])
    assert desk.balance() == 60
    assert desk.kinds() == [("opening", 100), ("capture", -10), ("opening", -30)]
    desk.restart()
    assert desk.balance() == 60


def test_what_is_spent_or_held_cannot_be_taken_yet(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.apply(accounts=[an_account(balance=100, credit=1000)])
    desk.call(50)
    desk.segment.hold(0, desk.index(), 1020)
    desk.apply(accounts=[an_account(balance=10, credit=1000)])
    assert desk.balance() == 20, "what no call holds"
    assert 'account "acme": the file lowers what it grants by 0.00000006 more than is left' in capfd.readouterr().err
    desk.segment.capture(0, desk.index(), 1020, 0)
    desk.restart()
    assert desk.balance() == 0, "the rest at the next load, and never into the credit line"
    desk.books.top_up("acme", 100)
    desk.restart()
    assert desk.balance() == 60
    assert desk.kinds() == [("opening", 100), ("capture", -50), *[("opening", -30), ("opening", -20)],
                            ("topup", 100), ("opening", -40)]  # fmt: skip
    desk.restart()
    assert desk.balance() == 60


def test_an_account_taken_out_is_closed_and_opens_again_with_its_money(desk: Desk) -> None:
    desk.apply(accounts=[an_account(balance=100), an_account("other", 5)], keys=[a_key()])
    desk.call(40)
    desk.apply(accounts=[an_account("other", 5)])
    assert (desk.books.account("acme").status, desk.money()["status"]) == ("closed", 3)
    assert desk.books.account("other").status == "active"
    desk.apply(accounts=[an_account(balance=100)], keys=[a_key()])
    assert (desk.books.account("acme").status, desk.money()["status"], desk.balance()) == ("active", 1, 60)
    assert desk.books.account("other").status == "closed"


def test_terms_follow_the_file(desk: Desk) -> None:
    desk.apply(accounts=[an_account(plan="gold", expires_s=desk.now_s + 5, suspended=True)], plans=[GOLD])
    view = desk.books.account("acme")
    assert (view.origin, view.plan, view.expires_s, view.status) == ("file", "gold", desk.now_s + 5, "suspended")
    assert desk.segment.plans()[desk.money()["plan"] - 1] == "gold"
    desk.apply(accounts=[an_account(credit=9)], plans=[GOLD])
    view = desk.books.account("acme")
    assert (view.plan, view.expires_s, view.status, view.credit_nanos, view.quotas) == ("", 0, "active", 9, [])
    assert (desk.money()["plan"], desk.money()["credit"], desk.money()["day"]) == (0, 9, -1)


def test_the_files_accounts_are_read_only_but_for_their_money(desk: Desk) -> None:
    desk.apply(accounts=[an_account(balance=100)])
    with pytest.raises(ReadOnly, match="declared in the configuration"):
        desk.books.change_account("acme", credit_nanos=5)
    desk.books.top_up("acme", 50)
    desk.apply(accounts=[an_account(balance=100)])
    assert desk.balance() == 150


def test_accounts_of_the_api_live_beside_the_files(desk: Desk) -> None:
    desk.apply(accounts=[an_account(balance=1)], plans=[GOLD])
    desk.books.create_account("mine", credit_nanos=3, plan="gold")
    desk.books.top_up("mine", 7)
    for again in range(3):
        if again == 0:
            desk.apply(plans=[GOLD])
        elif again == 1:
            desk.restart()
        else:
            desk.reboot()
        view = desk.books.account("mine")
        assert (view.status, view.balance_nanos, view.credit_nanos, view.plan) == ("active", 7, 3, "gold")
        assert [quota.limit for quota in view.quotas] == [10]


@pytest.mark.parametrize(
    ("accounts", "keys", "plans", "message"),
    [
        ([an_account("a"), an_account("a")], [], [GOLD], 'two accounts named "a"'),
        ([an_account("mine")], [], [GOLD], 'account "mine" was made through the API'),
        ([an_account(plan="silver")], [], [GOLD], 'plan = "silver": no plan has this name'),
        ([], [], [], 'plan "gold" has 1 accounts made through the API'),
        ([an_account("new", 5)], [a_key(account="nobody")], [GOLD], 'key 1: account = "nobody"'),
        ([an_account("new", 5)], [a_key(account="new"), a_key(account="new")], [GOLD], "key 2 is there already"),
    ],
)
def test_what_contradicts_itself_or_the_ledger_moves_no_money(
    desk: Desk, accounts: list[object], keys: list[object], plans: list[Plan], message: str
) -> None:
    desk.apply(accounts=[an_account(balance=100)], plans=[GOLD])
    desk.books.create_account("mine", plan="gold")
    with pytest.raises(LoadError, match=message):
        desk.books.apply(a_config(accounts, keys, plans))  # type: ignore[arg-type]
    assert [(view.name, view.status, view.balance_nanos) for view in desk.books.accounts()] == [
        ("acme", "active", 100), ("mine", "active", 0),
    ]  # fmt: skip
    desk.apply(accounts=[an_account(balance=100), an_account("new", 6)], plans=[GOLD])
    assert desk.balance("new") == 6, "what had been prepared for it is used"
    assert desk.segment.account_count == 4, "three accounts and a quota"


def test_many_accounts_are_loaded_in_batches(memory: Path) -> None:
    number = 4500
    with Desk(memory, accounts_max=8192, keys_max=8192) as desk:
        accounts = [an_account(f"a{n}", n) for n in range(number)]
        keys = [a_key(f"sk-{n:08}-{n:08}", f"a{n}") for n in range(number)]
        desk.start(accounts=accounts, keys=keys)
        assert sum(view.balance_nanos for n in range(5) for view in desk.books.accounts(f"a{n}", 1000)) > 0
        assert desk.audit().balance_nanos == sum(range(number))
        assert desk.books.find_key("sk-00004400-00004400").account == "a4400"
        desk.restart()
        desk.apply(accounts=accounts[:4000], keys=keys[:4000])
        assert desk.books.account("a4400").status == "closed"
        assert desk.books.account("a3999").status == "active"
        assert desk.segment.account_count == desk.segment.key_count == number
        desk.reboot()
        assert desk.segment.account_count == 4000, "who is closed has no place in a new segment"


def test_a_keeper_can_go_on_without_what_is_declared(desk: Desk) -> None:
    """The files became wrong while a keeper was being replaced."""
    desk.apply(accounts=[an_account(balance=100, plan="gold")], keys=[a_key()], plans=[GOLD])
    desk.books.create_account("mine")
    _, text = desk.books.create_key("mine")
    desk.call(40)
    desk.crash()
    books = type(desk.books)(desk.segment, str(desk.state), lambda: desk.now_ns)
    books.open()
    desk.books = books
    with pytest.raises(LoadError):
        books.apply(a_config([an_account("x"), an_account("x")], plans=[GOLD]))
    books.resume(a_config(plans=[GOLD]))
    desk.turn()
    assert [(view.name, view.status, view.balance_nanos) for view in books.accounts()] == [
        ("acme", "active", 60), ("mine", "active", 0),
    ]  # fmt: skip
    assert books.account("acme").quotas[0].limit == 10
    assert desk.segment.key(desk.segment.find_key(desk.segment.digest(b"sk-acme-0001-abcdef")))["status"] == 1
    assert books.find_key(text).account == "mine"
    desk.call(10)
    assert desk.balance() == 50
