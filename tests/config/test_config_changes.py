"""What a reload changes, and what it leaves for a restart, in words."""

import pytest
from config_files import MINIMAL, ROUTE, Accept

from fastgw.config.changes import NAMES_SHOWN, ReloadReport, reload_report
from fastgw.model import ConfigError

PLAN = '[[plans]]\nname = "gold"\n'
ACCOUNT = '[[accounts]]\nname = "acme"\n'
KEY = '[[keys]]\naccount = "acme"\nkey = "sk-acme-0001"\n'
SECOND_ROUTE = ROUTE.replace('"r"', '"s"').replace("/v1", "/v2")


def test_the_same_again_changes_nothing(accept: Accept) -> None:
    config = accept(MINIMAL + PLAN + ACCOUNT + KEY)
    report = reload_report(config, accept(MINIMAL + PLAN + ACCOUNT + KEY))
    assert report == ReloadReport(config, (), ())
    assert report.lines() == ["nothing has changed"]


def test_a_setting_changes_at_once_or_waits_for_a_restart(accept: Accept) -> None:
    old = accept("[server]\nworkers = 1\n" + MINIMAL)
    new = accept(
        '[server]\nworkers = 2\nhead_timeout = "3s"\nkey_header = "x-k"\nwatch = true\nlisten = ":9000"\n'
        f"keys_max = 100\ncall_log = false\n{MINIMAL}"
    )
    report = reload_report(old, new)
    assert report.changes == (
        "server.workers: 1 → 2",
        "server.watch: off → on",
        'server.key_header: "" → x-k',
        "server.head_timeout: 10s → 3s",
    )
    assert report.restart == (
        "server.listen: 127.0.0.1:8080 → :9000",
        "server.keys_max: 1048576 → 100",
        "server.call_log: on → off",
    )
    assert report.lines()[4] == "server.listen: 127.0.0.1:8080 → :9000 (needs a restart, and stays as it is)"
    assert report.config.server.listen_address == "127.0.0.1:8080"
    assert (report.config.server.keys_max, report.config.server.call_log) == (1 << 20, True)
    assert (report.config.server.workers, report.config.server.head_timeout_ms) == (2, 3_000)
    assert reload_report(report.config, new).changes == ()


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (MINIMAL, MINIMAL + SECOND_ROUTE, "routes: 1 added (s)"),
        (MINIMAL + SECOND_ROUTE, MINIMAL, "routes: 1 removed (s)"),
        (
            MINIMAL + 'price = "0.001"\nrate = "5/m"\n',
            MINIMAL + 'price = "0.002"\nauth = "key"\nidempotency = "24h"\nmethods = ["GET", "PUT"]\n',
            "routes: 1 changed (r: methods [] → [GET, PUT], price 0.001 → 0.002, rate 5/m burst 5 → none, "
            "idempotency 0 → 24h)",
        ),
        (
            MINIMAL + 'set_headers = { authorization = "Bearer sk-old" }\n',
            MINIMAL + 'set_headers = { authorization = "Bearer sk-new" }\n',
            "routes: 1 changed (r: set_headers)",
        ),
        (MINIMAL, MINIMAL.replace("9001", "9002"), "upstreams: 1 changed (u: targets)"),
        (
            MINIMAL,
            MINIMAL.replace('"u"', '"w"'),
            "upstreams: 1 added (w), 1 removed (u)",
        ),
        (
            MINIMAL + PLAN,
            MINIMAL + PLAN + 'requests_per_day = 5\nallowance = "2.5"\nprices = { r = 1 }\n',
            "plans: 1 changed (gold: requests_per_day 0 → 5, allowance 0 → 2.5, prices)",
        ),
        (MINIMAL + ACCOUNT, MINIMAL + ACCOUNT + 'balance = "1"\n', "accounts: 1 changed"),
        (MINIMAL + ACCOUNT, MINIMAL + ACCOUNT.replace("acme", "zeta"), "accounts: 1 added, 1 removed"),
        (MINIMAL + ACCOUNT, MINIMAL + ACCOUNT + KEY, "keys: 1 added"),
        (MINIMAL + ACCOUNT + KEY, MINIMAL + ACCOUNT + KEY + "revoked = true\n", "keys: 1 changed"),
        (
            MINIMAL + ACCOUNT + KEY,
            MINIMAL + ACCOUNT + KEY.replace("0001", "0002"),
            "keys: 1 added, 1 removed",
        ),
    ],
)
def test_what_is_different_is_said_by_name_and_never_shows_a_secret(
    accept: Accept, before: str, after: str, line: str
) -> None:
    report = reload_report(accept(before), accept(after))
    assert line in report.changes
    assert report.restart == ()
    assert "sk-" not in "".join(report.lines())


def test_only_the_first_names_of_many_are_said(accept: Accept) -> None:
    plans = "".join(f'[[plans]]\nname = "p{n}"\n' for n in range(NAMES_SHOWN + 3))
    [line] = reload_report(accept(MINIMAL), accept(MINIMAL + plans)).changes
    assert line.startswith("plans: 13 added (p0; p1; ")
    assert line.endswith("p9; and 3 more)")


def test_what_has_no_room_until_a_restart_is_refused_whole(accept: Accept) -> None:
    old = accept("[server]\nroutes_max = 1\n" + MINIMAL)
    new = accept("[server]\nroutes_max = 2\n" + MINIMAL + SECOND_ROUTE)
    with pytest.raises(ConfigError) as caught:
        reload_report(old, new)
    assert str(caught.value) == (
        "reload: server.routes_max = 1: there are 2 routes, and a larger server.routes_max needs a restart"
    )
