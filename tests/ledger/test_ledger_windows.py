"""Calendar windows: where a day and a month begin and end in every zone, and what a quota does there."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import pytest
from desk import DAY_S, SECOND, Desk, a_key, an_account
from hypothesis import given
from hypothesis import strategies as st

from fastgw.ledger.views import MeterView
from fastgw.ledger.windows import window
from fastgw.model import Plan


def at(text: str, zone: str = "UTC") -> int:
    """Unix seconds of a local time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


@pytest.mark.parametrize(
    ("period", "zone", "now", "start", "end"),
    [
        ("day", "UTC", "2026-09-21T14:13:20", "2026-09-21T00:00", "2026-09-22T00:00"),
        ("day", "UTC", "2026-09-21T00:00:00", "2026-09-21T00:00", "2026-09-22T00:00"),
        ("day", "Asia/Kolkata", "2026-09-21T23:59:59", "2026-09-21T00:00", "2026-09-22T00:00"),
        ("month", "UTC", "2026-12-31T23:59:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("month", "Pacific/Auckland", "2028-02-29T12:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-29T00:00", "2026-03-30T00:00"),
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-25T00:00", "2026-10-26T00:00"),
    ],
)
def test_a_window_is_a_date_or_a_month_of_its_zone(period: str, zone: str, now: str, start: str, end: str) -> None:
    assert window(period, zone, at(now, zone)) == (at(start, zone), at(end, zone))


def test_days_have_23_to_25_hours_where_the_clocks_change() -> None:
    lengths = {}
    for date in ("2026-03-28", "2026-03-29", "2026-10-25"):
        start, end = window("day", "Europe/Berlin", at(f"{date}T12:00", "Europe/Berlin"))
        lengths[date] = (end - start) // 3600
    assert lengths == {"2026-03-28": 24, "2026-03-29": 23, "2026-10-25": 25}


def test_where_midnight_is_skipped_the_day_begins_with_the_change() -> None:
    start, end = window("day", "America/Sao_Paulo", at("2018-11-04T12:00", "America/Sao_Paulo"))
    assert start == at("2018-11-04T01:00", "America/Sao_Paulo")
    assert end - start == 23 * 3600


def test_where_the_clocks_go_back_over_midnight_a_date_begins_once() -> None:
    midnight = at("2010-11-07T00:00", "America/St_Johns")
    for second in (0, 59, 60, 1800, 3659, 3660, 7200):
        assert window("day", "America/St_Johns", midnight + second) == (midnight, midnight + 25 * 3600)
    assert window("day", "America/St_Johns", midnight - 1)[1] == midnight


@given(st.integers(0, 2**32), st.sampled_from(sorted(available_timezones())), st.sampled_from(["day", "month"]))
def test_windows_hold_their_moment_and_leave_no_gap(now_s: int, zone: str, period: str) -> None:
    start, end = window(period, zone, now_s)
    assert start <= now_s < end
    assert window(period, zone, start) == window(period, zone, end - 1) == (start, end)
    assert window(period, zone, end)[0] == end


def test_what_is_no_window_is_refused() -> None:
    with pytest.raises(ValueError, match='"day" or a "month", not "week"'):
        window("week", "UTC", 0)
    with pytest.raises(ZoneInfoNotFoundError):
        window("day", "Mars/Olympus", 0)


# Quotas

PLAN = Plan("p", day_quota=3, month_quota=5, timezone="Asia/Kolkata")


@pytest.fixture
def acme(desk: Desk) -> Desk:
    """An account with quotas, at noon in Kolkata on the 29th of a month of 30 days."""
    desk.now_ns = at("2026-09-29T12:00", "Asia/Kolkata") * SECOND
    desk.apply(accounts=[an_account(plan="p")], plans=[PLAN])
    return desk


def call(desk: Desk, name: str = "acme") -> bool:
    """One call that counts against every quota, if all allow it."""
    money = desk.money(name)
    meters = [money[kind] for kind in ("day", "month") if money[kind] >= 0]
    held = [meter for meter in meters if desk.segment.hold(0, meter, 1)]
    for meter in held:
        desk.segment.capture(0, meter, 1, len(held) == len(meters))
    return len(held) == len(meters)


def used(desk: Desk) -> list[int]:
    return [quota.used for quota in desk.books.account("acme").quotas]


def test_a_quota_is_counted_to_its_end_and_begins_again_with_the_day(acme: Desk) -> None:
    assert [call(acme) for _ in range(4)] == [True, True, True, False]
    assert acme.books.account("acme").quotas == [
        MeterView("day", 3, 3, 0, at("2026-09-30T00:00", "Asia/Kolkata")),
        MeterView("month", 5, 3, 0, at("2026-10-01T00:00", "Asia/Kolkata")),
    ]
    acme.pass_s(12 * 3600 - 1)
    assert not call(acme)
    acme.pass_s(1)
    assert used(acme) == [0, 3]
    assert [call(acme) for _ in range(3)] == [True, True, False], "the month's end comes first"
    acme.turn()
    acme.pass_s(DAY_S)
    assert used(acme) == [0, 0]
    assert [call(acme) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("again", ["restart", "reboot"])
def test_what_was_used_is_not_forgotten(acme: Desk, again: str) -> None:
    assert [call(acme) for _ in range(2)] == [True, True]
    acme.turn()
    getattr(acme, again)()
    assert used(acme) == [2, 2]
    assert [call(acme) for _ in range(2)] == [True, False]
    acme.turn()
    getattr(acme, again)()
    assert used(acme) == [3, 3]


@pytest.mark.parametrize("again", ["restart", "reboot"])
def test_a_window_that_ended_while_nobody_ran_is_over(acme: Desk, again: str) -> None:
    assert [call(acme) for _ in range(3)] == [True] * 3
    acme.turn()
    acme.now_ns += DAY_S * SECOND
    getattr(acme, again)()
    assert used(acme) == [0, 3]
    getattr(acme, again)()
    assert used(acme) == [0, 3]
    assert [call(acme) for _ in range(3)] == [True, True, False]


def test_a_first_use_long_after_the_start_counts_in_the_window_of_its_time(acme: Desk) -> None:
    acme.pass_s(40 * DAY_S)
    assert call(acme)
    acme.turn()
    assert used(acme) == [1, 1]
    acme.restart()
    assert used(acme) == [1, 1]


def test_a_call_over_midnight_counts_where_it_ends(acme: Desk) -> None:
    day = acme.money()["day"]
    assert acme.segment.hold(0, day, 1)
    acme.turn()
    acme.pass_s(13 * 3600)
    acme.segment.capture(0, day, 1, 1)
    acme.turn()
    assert used(acme)[0] == 1


def test_calls_are_counted_where_the_keeper_first_sees_them(acme: Desk) -> None:
    """Fifty milliseconds after they ended; more, when it was not there."""
    acme.now_ns += 12 * 3600 * SECOND - 1
    assert call(acme)
    acme.pass_s(1)
    assert used(acme) == [1, 1]
    assert acme.books.account("acme").quotas[0].resets_s == at("2026-10-01T00:00", "Asia/Kolkata")


def test_a_new_limit_leaves_what_is_used(acme: Desk) -> None:
    assert [call(acme) for _ in range(3)] == [True] * 3
    for limit, allowed in ((4, 1), (2, 0), (5, 1)):
        plan = Plan("p", day_quota=limit, month_quota=50, timezone="Asia/Kolkata")
        acme.apply(accounts=[an_account(plan="p")], plans=[plan])
        assert [quota.limit for quota in acme.books.account("acme").quotas] == [limit, 50]
        assert sum(call(acme) for _ in range(allowed + 1)) == allowed
    assert used(acme) == [5, 5]


def test_a_quota_taken_away_and_given_again_remembers_its_window(acme: Desk) -> None:
    assert call(acme)
    acme.apply(accounts=[an_account(plan="")], plans=[PLAN])
    assert acme.books.account("acme").quotas == []
    acme.restart()
    acme.apply(accounts=[an_account(plan="p")], plans=[PLAN])
    assert used(acme) == [1, 1]


def test_another_zone_begins_its_days_at_its_own_time(acme: Desk) -> None:
    assert call(acme)
    plan = Plan("p", day_quota=3, timezone="Pacific/Auckland")
    acme.apply(accounts=[an_account(plan="p")], plans=[plan])
    quota = acme.books.account("acme").quotas[0]
    assert (quota.used, quota.resets_s) == (1, at("2026-09-30T00:00", "Pacific/Auckland"))
    acme.pass_s(quota.resets_s - acme.now_s)
    assert used(acme) == [0]


def test_more_quotas_than_one_turn_renews_are_renewed_by_the_next_turns(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastgw.ledger.meters.BATCH", 8)
    number = 30
    with Desk(memory, accounts_max=4096) as desk:
        accounts = [an_account(f"a{n}", plan="p") for n in range(number)]
        desk.start(accounts=accounts, plans=[Plan("p", day_quota=1)])
        assert all(call(desk, account.name) for account in accounts)
        desk.turn()
        assert not any(call(desk, account.name) for account in accounts)
        desk.pass_s(DAY_S)
        assert all(call(desk, account.name) for account in accounts)


def test_a_monthly_budget_of_a_key_follows_the_zone_of_the_accounts_plan(acme: Desk) -> None:
    key = a_key("sk-budget-0123456", budget_nanos=10, budget_period="month")
    acme.apply(accounts=[an_account(plan="p")], keys=[key], plans=[PLAN])
    view = acme.books.find_key("sk-budget-0123456")
    assert view.budget_resets_s == at("2026-10-01T00:00", "Asia/Kolkata")
    meter = int(acme.segment.key(0)["budget"])
    acme.segment.hold(0, meter, 10)
    acme.segment.capture(0, meter, 10, 10)
    acme.pass_s(view.budget_resets_s - acme.now_s - 1)
    assert acme.books.key(view.id).budget_used_nanos == 10
    acme.pass_s(1)
    assert acme.books.key(view.id).budget_used_nanos == 0
    assert acme.segment.hold(0, meter, 10)
