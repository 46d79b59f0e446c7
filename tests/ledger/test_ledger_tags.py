"""Tags and limits in tokens: declared, made by hand or at first use, with what is left, after restart and reboot."""

from collections.abc import Callable

import pytest
from desk import DAY_S, SECOND, Desk, a_key, an_account

from fastgw.ledger.errors import Conflict, Invalid, NotFound, ReadOnly
from fastgw.model import Plan, Rate, Tag
from fastgw.states import KeyStatus

TOKENS = Rate(200_000, 60 * SECOND, 200_000)


@pytest.fixture
def acme(desk: Desk) -> Desk:
    """An account that gives 50 nanos a day to tags that are not known yet, at most 3 of them."""
    account = an_account(balance=1_000, tag_budget_nanos=50, tag_budget_period="day", tags_max=3)
    desk.apply(accounts=[account, an_account("plain", 10)], keys=[a_key()])
    return desk


def tag(desk: Desk, name: str, account: str = "acme") -> dict[str, int]:
    """Its record in the segment."""
    index = desk.segment.find_key(desk.segment.tag_digest(account, name))
    return {**desk.segment.key(index), "index": index}


def spend(desk: Desk, name: str, nanos: int) -> None:
    """What a worker captures of a call with that tag."""
    for index in (desk.index(), tag(desk, name)["budget"]):
        assert desk.segment.hold(0, index, nanos)
        desk.segment.capture(0, index, nanos, nanos)
    desk.turn()


def left(desk: Desk, name: str) -> int:
    view = next(view for view in desk.books.tags("acme") if view.name == name)
    return view.budget_nanos - view.budget_used_nanos - view.budget_held_nanos


def test_a_tag_made_by_hand_has_a_budget_of_its_own(acme: Desk) -> None:
    view = acme.books.create_tag("acme", "run-17", budget_nanos=20, budget_period="day", expires_s=acme.now_s + 60)
    assert (view.account, view.name, view.origin, view.status) == ("acme", "run-17", "api", "active")
    record = tag(acme, "run-17")
    assert (record["account"], record["status"], record["expires_s"]) == (
        acme.index(),
        KeyStatus.ACTIVE,
        view.expires_s,
    )
    assert acme.books.tag_name(record["index"]) == "run-17"
    spend(acme, "run-17", 15)
    again: Callable[[], None]
    for again in (acme.restart, acme.reboot):
        assert left(acme, "run-17") == 5
        again()
        assert tag(acme, "run-17")["status"] == KeyStatus.ACTIVE
    acme.pass_s(DAY_S)
    assert left(acme, "run-17") == 20
    assert next(iter(acme.books.tags("acme"))).status == "expired"
    assert acme.audit().differences == []
    assert [key.name for key in acme.books.keys("acme")] == [""]  # it is no key
    with pytest.raises(NotFound):
        acme.books.key("key_" + acme.segment.tag_digest("acme", "run-17")[:8].hex())


def test_a_tag_is_made_at_its_first_use_where_its_account_says_so(acme: Desk) -> None:
    index = acme.index()
    assert acme.segment.account(acme.index("plain"))["status"] == 1
    assert not acme.books.want_tag(acme.index("plain"), "run")
    for number in range(3):
        assert acme.books.want_tag(index, f"run-{number}")
        assert acme.books.want_tag(index, f"run-{number}")  # who else has asked meanwhile
    assert not acme.books.want_tag(index, "run-3")
    assert [(view.name, view.origin, view.budget_nanos) for view in acme.books.tags("acme")] == [
        ("run-0", "call", 50), ("run-1", "call", 50), ("run-2", "call", 50),
    ]  # fmt: skip
    acme.books.remove_tag("acme", "run-1")
    assert tag(acme, "run-1")["status"] == KeyStatus.REVOKED
    assert not acme.books.want_tag(index, "run-1")  # no budget is had twice
    assert acme.books.want_tag(index, "run-3")
    with pytest.raises(Conflict, match="tags_max"):
        acme.books.create_tag("acme", "run-4")
    with pytest.raises(Invalid, match="1 to 64"):
        acme.books.want_tag(index, "no name")
    assert not acme.books.want_tag(tag(acme, "run-0")["budget"], "run-5")  # a meter is no account


def test_a_removed_tag_goes_on_with_what_it_had_used(acme: Desk) -> None:
    acme.books.create_tag("acme", "run", budget_nanos=20)
    with pytest.raises(Conflict, match="already"):
        acme.books.create_tag("acme", "run")
    spend(acme, "run", 15)
    acme.books.remove_tag("acme", "run")
    acme.books.remove_tag("acme", "run")
    assert acme.books.tags("acme") == []
    acme.books.create_tag("acme", "run", budget_nanos=20)
    assert left(acme, "run") == 5
    for account, name in (("nobody", "run"), ("acme", "walk")):
        with pytest.raises(NotFound):
            acme.books.remove_tag(account, name)


def test_the_files_tags_are_those_that_it_declares(desk: Desk) -> None:
    accounts = [an_account(balance=100)]
    desk.apply(accounts=accounts, tags=[Tag("acme", "blue", 30, "month"), Tag("acme", "red")])
    assert [(view.name, view.origin, view.budget_nanos) for view in desk.books.tags("acme")] == [
        ("blue", "file", 30), ("red", "file", 0),
    ]  # fmt: skip
    with pytest.raises(ReadOnly):
        desk.books.remove_tag("acme", "red")
    spend(desk, "blue", 7)
    desk.apply(accounts=accounts, tags=[Tag("acme", "blue", 40, "month")])
    assert left(desk, "blue") == 33
    assert tag(desk, "red")["status"] == KeyStatus.REVOKED
    desk.reboot()
    assert left(desk, "blue") == 33
    assert tag(desk, "red")["status"] == KeyStatus.REVOKED


def test_the_models_of_a_key_stay_its_own(desk: Desk) -> None:
    desk.apply(accounts=[an_account(balance=9)], keys=[a_key(models=("gpt-5*", "o3"))])
    made, text = desk.books.create_key("acme", models=("claude-*", "claude-*"))
    for again in (desk.turn, desk.restart, desk.reboot):
        again()
        for key, models in ((text, ("claude-*",)), ("sk-acme-0001-abcdef", ("gpt-5*", "o3"))):
            record = desk.segment.key(desk.segment.find_key(desk.segment.digest(key.encode())))
            assert desk.segment.scope_of(record["scope"]) == desk.books.find_key(key).models == models
    assert desk.books.rotate_key(made.id)[0].models == ("claude-*",)
    other, _ = desk.books.create_key("acme", models=("o3",))
    assert desk.books.change_key(other.id, name="n").models == ("o3",)
    with pytest.raises(Invalid, match="models"):
        desk.books.change_key(other.id, models=("no model",))
    assert desk.books.change_key(other.id, models=("x", "*")).models == ()
    desk.apply(accounts=[an_account(balance=9)], keys=[a_key()])
    assert desk.books.find_key("sk-acme-0001-abcdef").models == ()


def test_limits_in_tokens_are_the_keys_and_the_plans(desk: Desk) -> None:
    plan = Plan(name="pro", token_rate=TOKENS, day_tokens=1_000, month_tokens=5_000)
    desk.apply(accounts=[an_account(balance=9, plan="pro")], plans=[plan], keys=[a_key(token_rate=TOKENS)])
    made, text = desk.books.create_key("acme", token_rate=TOKENS)
    for again in (desk.turn, desk.restart, desk.reboot):
        again()
        for key in (text, "sk-acme-0001-abcdef"):
            record = desk.segment.key(desk.segment.find_key(desk.segment.digest(key.encode())))
            assert desk.segment.limit_of(record["tokens"])[2] == 200_000
            assert desk.books.find_key(key).token_rate == TOKENS
        money = desk.money()
        assert [desk.segment.account(money[name])["granted"] for name in ("day_tokens", "month_tokens")] == [
            1_000,
            5_000,
        ]
    kinds = [(quota.kind, quota.limit) for quota in desk.books.account("acme").quotas]
    assert kinds == [("day_tokens", 1_000), ("month_tokens", 5_000)]
    assert desk.books.change_key(made.id, token_rate=None).token_rate is None
