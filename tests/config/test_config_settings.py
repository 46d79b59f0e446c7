"""The table of settings: names, bounds, and which source wins."""

import os
from pathlib import Path

import pytest
from config_files import MINIMAL, Accept, Refuse

from fastgw.config.load import read
from fastgw.settings import SETTINGS, Server, Setting, defaults

NUMBERS = [row for row in SETTINGS if row.is_number]


def test_the_struct_has_one_attribute_per_row_in_the_order_of_the_table() -> None:
    assert Server.__struct_fields__ == tuple(row.attribute for row in SETTINGS)


def test_names_are_unique_and_every_row_teaches_in_one_line() -> None:
    assert len({row.name for row in SETTINGS}) == len(SETTINGS)
    for row in SETTINGS:
        assert row.help.endswith(".")
        assert "\n" not in row.help


def test_every_row_takes_its_own_default() -> None:
    for row in SETTINGS:
        value = row.default_value({"HOME": "/home/me"})
        assert row.parse(value if row.kind != "duration" else row.show(value)) == value


def test_the_defaults_of_the_table() -> None:
    server = defaults({})
    assert (server.listen_address, server.admin_address) == ("127.0.0.1:8080", "127.0.0.1:8081")
    assert (server.url_max_bytes, server.head_max_bytes, server.headers_max) == (8192, 32768, 100)
    assert server.body_max_bytes == 64 << 20
    assert (server.head_timeout_ms, server.idle_timeout_ms, server.total_timeout_ms) == (10_000, 75_000, 0)
    assert (server.keys_max, server.accounts_max, server.routes_max) == (1 << 20, 1 << 20, 256)
    assert server.workers == min(len(os.sched_getaffinity(0)), 64)


@pytest.mark.parametrize(
    ("uid", "environ", "expected"),
    [
        (0, {"HOME": "/root"}, "/var/lib/fastgw"),
        (1000, {"HOME": "/home/me"}, "/home/me/.local/state/fastgw"),
        (1000, {"HOME": "/home/me", "XDG_STATE_HOME": "/x"}, "/x/fastgw"),
        (1000, {"HOME": "/home/me", "XDG_STATE_HOME": "relative"}, "/home/me/.local/state/fastgw"),
    ],
)
def test_state_lives_where_the_system_keeps_state(
    uid: int, environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert defaults(environ).state_dir == expected


@pytest.mark.parametrize("row", NUMBERS, ids=lambda row: row.name)
def test_a_number_is_taken_at_its_bounds_and_refused_beyond_them(row: Setting) -> None:
    def written(value: int) -> object:
        return f"{value}ms" if row.kind == "duration" else value

    assert row.parse(written(row.low)) == row.low
    assert row.parse(written(row.high)) == row.high
    outside = [row.high + 1] + ([row.low - 1] if row.low > 1 or not row.zero else [])
    for value in outside:
        with pytest.raises(ValueError, match=f"{row.show(row.low)} to {row.show(row.high)}"):
            row.parse(written(value))
    assert bool(row.zero) or row.low == 0 or not _takes(row, 0)


def _takes(row: Setting, value: object) -> bool:
    try:
        row.parse(value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("line", "attribute", "value"),
    [
        ('listen = ":9000"', "listen_address", ":9000"),
        ('admin = "off"', "admin_address", ""),
        ("workers = 64", "workers", 64),
        ('url_max = "4KiB"', "url_max_bytes", 4096),
        ("url_max = 4096", "url_max_bytes", 4096),
        ("body_max = 0", "body_max_bytes", 0),
        ('body_max = "1TiB"', "body_max_bytes", 1 << 40),
        ('head_timeout = "100ms"', "head_timeout_ms", 100),
        ("head_timeout = 3", "head_timeout_ms", 3_000),
        ("total_timeout = 0", "total_timeout_ms", 0),
        ("drain_timeout = 0", "drain_timeout_ms", 0),
        ("journal_records = 512", "journal_records", 512),
        ('key_header = "X-Acme-Key"', "key_header", "x-acme-key"),
        ('realm = "Acme (API)"', "realm", "Acme (API)"),
        ('docs_url = "https://acme.example/docs#402"', "docs_url", "https://acme.example/docs#402"),
        ('state_dir = "/srv/fastgw/"', "state_dir", "/srv/fastgw"),
    ],
)
def test_a_setting_of_the_file_is_taken(accept: Accept, line: str, attribute: str, value: object) -> None:
    assert getattr(accept(f"[server]\n{line}\n{MINIMAL}").server, attribute) == value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("workers = 0", "server.workers = 0: must be an integer from 1 to 64"),
        ("workers = 65", "server.workers = 65: must be an integer from 1 to 64"),
        ('workers = "2"', 'server.workers = "2": must be an integer from 1 to 64'),
        ("workers = true", "server.workers = true: must be an integer"),
        ("workers = 2.0", "server.workers = 2.0: must be an integer"),
        ('listen = "127.0.0.1:0"', 'server.listen = "127.0.0.1:0": must be host:port with a port from 1'),
        ("listen = 8080", "server.listen = 8080: must be host:port"),
        ('listen = "off"', 'server.listen = "off": nobody could connect: give an address, or add [[listeners]]'),
        (
            'trusted_proxies = "10.0.0.0/8"',
            "must be at most 256 networks, with commas between them, in a file",
        ),
        ('trusted_proxies = ["10.0.0.1/8"]', 'must be a network like "10.0.0.0/8"'),
        ('client_ca = "none.pem"', "cannot be read: No such file or directory"),
        ('head_timeout = "99ms"', 'server.head_timeout = "99ms": must be a duration from 100ms to 24h'),
        ("total_timeout = -1", "server.total_timeout = -1: must be a duration from 100ms to 24h, or 0 (off)"),
        ('url_max = "65KiB"', 'server.url_max = "65KiB": must be a size from 256B to 64KiB'),
        ('body_max = "2TiB"', 'server.body_max = "2TiB": must be a size from 1B to 1TiB, or 0 (no limit)'),
        (
            "journal_records = 1000",
            "server.journal_records = 1000: must be a power of two from 256 to 4194304",
        ),
        ('key_header = "a b"', 'server.key_header = "a b": must name an end-to-end header'),
        ('key_header = "Host"', 'server.key_header = "Host": must name an end-to-end header'),
        ('key_header = "X-API-Key"', "not Authorization or x-api-key"),
        ('realm = "a\\"b"', "must be 1 to 64 printable ASCII characters"),
        ('realm = ""', 'server.realm = "": must be 1 to 64'),
        ('docs_url = "ftp://a"', "must be an http:// or https:// URL of at most 512 characters"),
        ('docs_url = "https://a/\\"x"', "must be an http:// or https:// URL"),
        ('docs_url = "https://[a"', "must be an http:// or https:// URL"),
        ('state_dir = ""', 'server.state_dir = "": must be a path'),
        ('state_dir = "a\\u0000b"', "must be a path"),
        ("wrokers = 2", "server.wrokers: unknown, did you mean workers?"),
        ("xyzzy = 2", "server.xyzzy: unknown, allowed are listen, workers"),
        ('keys_file = "none.jsonl"', "is not a file that can be read"),
        (
            'admin = "127.0.0.1:8080"',
            'server.admin = "127.0.0.1:8080": meets server.listen = "127.0.0.1:8080"',
        ),
        ('listen = ":8081"', 'server.listen = ":8081": meets server.admin = "127.0.0.1:8081" on one port'),
    ],
)
def test_a_wrong_setting_of_the_file_is_refused_by_its_line(refuse: Refuse, line: str, message: str) -> None:
    [problem] = refuse(f"[server]\n\n{line}\n{MINIMAL}")
    assert problem.startswith("fastgw.toml:3: ")
    assert message in problem


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(accept: Accept) -> None:
    file, environ, flags = f"[server]\nworkers = 1\n{MINIMAL}", {"FASTGW_WORKERS": "2"}, {"workers": "3"}
    assert accept(file).server.workers == 1
    assert accept(file, None, environ).server.workers == 2
    assert accept(file, flags, environ).server.workers == 3
    assert accept(file, {"workers": None}, {"FASTGW_WORKERS": ""}).server.workers == 1


def test_each_setting_tells_where_it_came_from() -> None:
    Path("fastgw.toml").write_text(f"[server]\nworkers = 1\n{MINIMAL}")
    origins = read("fastgw.toml", {"url_max": "1KiB"}, {"FASTGW_REALM": "x"}).origins
    assert {origins["workers"], origins["url_max"], origins["realm"], origins["listen"]} == {
        "fastgw.toml:2", "--url-max", "FASTGW_REALM", "default",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "environ", "start"),
    [
        ({"workers": "0"}, {}, "--workers: server.workers = 0: must be an integer from 1 to 64"),
        ({"workers": "two"}, {}, '--workers: server.workers = "two": must be an integer from 1 to 64'),
        ({"head_timeout": "5 s"}, {}, '--head-timeout: server.head_timeout = "5 s": must be a duration'),
        ({}, {"FASTGW_WORKERS": "0"}, "FASTGW_WORKERS: server.workers = 0: must be an integer from 1 to 64"),
    ],
)
def test_a_wrong_flag_or_variable_is_named(
    refuse: Refuse, flags: dict[str, str], environ: dict[str, str], start: str
) -> None:
    [problem] = refuse(MINIMAL, flags, environ)
    assert problem.startswith(start)


def test_a_wrong_line_of_the_file_is_refused_even_where_a_flag_overrides_it(refuse: Refuse) -> None:
    [problem] = refuse(f"[server]\nworkers = 0\n{MINIMAL}", {"workers": "1"})
    assert problem.startswith("fastgw.toml:2: ")


def test_variables_that_only_look_like_settings_are_left_alone(accept: Accept) -> None:
    environ = {"FASTGW_PORT": "tcp://10.0.0.1:80", "FASTGW_SERVICE_HOST": "10.0.0.1"}
    assert accept(MINIMAL, None, environ).server.listen_address == "127.0.0.1:8080"


def test_a_relative_path_is_below_the_file_that_says_it_or_else_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "f.toml").write_text(f'[server]\nstate_dir = "state"\n{MINIMAL}')
    server = read("etc/f.toml", {"segment_dir": "shm"}, {}).config.server
    assert server.state_dir == str(tmp_path / "etc" / "state")
    assert server.segment_dir == str(tmp_path / "shm")


def test_a_flag_that_no_table_knows_is_a_programming_error(accept: Accept) -> None:
    with pytest.raises(TypeError, match="wrokers"):
        accept(MINIMAL, {"wrokers": "1"})


def test_a_switch_is_a_boolean_in_a_file_and_on_or_off_elsewhere(accept: Accept, refuse: Refuse) -> None:
    assert (accept(MINIMAL).server.watch, accept(MINIMAL).server.call_log) == (False, True)
    file = f"[server]\nwatch = true\ncall_log = false\n{MINIMAL}"
    assert (accept(file).server.watch, accept(file).server.call_log) == (True, False)
    for text, value in (("on", True), ("TRUE", True), ("1", True), ("off", False), ("false", False), ("No", False)):
        assert accept(MINIMAL, {"watch": text}).server.watch is value
        assert accept(MINIMAL, None, {"FASTGW_WATCH": text}).server.watch is value
    for flags, environ, start in (
        ({"watch": "maybe"}, {}, '--watch: server.watch = "maybe": must be on or off, in a file true or false'),
        ({}, {"FASTGW_WATCH": "2"}, 'FASTGW_WATCH: server.watch = "2": must be on or off'),
    ):
        assert refuse(MINIMAL, flags, environ)[0].startswith(start)
    assert refuse(f'[server]\nwatch = "on"\n{MINIMAL}')[0].startswith('fastgw.toml:2: server.watch = "on": must be on')


def test_an_access_log_is_a_file_that_can_be_written_or_standard_output(
    accept: Accept, refuse: Refuse, tmp_path: Path
) -> None:
    assert accept(MINIMAL).server.access_log == ""
    assert accept(f'[server]\naccess_log = "-"\n{MINIMAL}').server.access_log == "-"
    assert accept(f'[server]\naccess_log = "a.log"\n{MINIMAL}').server.access_log == str(tmp_path / "a.log")
    for wrong in ("none/a.log", "."):
        [problem] = refuse(f'[server]\naccess_log = "{wrong}"\n{MINIMAL}')
        assert problem.startswith("fastgw.toml:2: server.access_log = ")
        assert problem.endswith("is not a file that can be written to")
