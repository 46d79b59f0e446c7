"""What upstreams, routes, accounts and keys of a file may say."""

from pathlib import Path

import pytest
from config_files import MINIMAL, ROUTE, UPSTREAM, Accept, Refuse

from fastgw.config.load import load
from fastgw.model import Account, ConfigError, Key, Rate, Route, Secret, Target, Upstream

ACCOUNT = '[[accounts]]\nname = "acme"\n'
KEY = '[[keys]]\naccount = "acme"\nkey = "sk-acme-0001"\n'
SECOND_ROUTE = ROUTE.replace('"r"', '"s"')
RATE = 'rate = "1/s"\n'
SECOND = 10**9


def test_the_example_of_the_manual(accept: Accept) -> None:
    config = accept(
        """
[server]
listen = "127.0.0.1:8080"
workers = 2

[[upstreams]]
name = "billing"
targets = ["http://127.0.0.1:9001", "http://[::1]"]

[[routes]]
name = "api"
path = "/v1/"
hosts = ["API.example.com"]
methods = ["GET", "POST"]
upstream = "billing"
price = "0.001"
rate = "100/s"
burst = 200
dialect = "openai"
forward_key = true
preserve_host = true
set_headers = { Authorization = "Bearer ${PROVIDER_KEY}", x-a = "1" }

[[accounts]]
name = "acme"
balance = "100.00"
credit = 5

[[keys]]
account = "acme"
key = "sk-acme-0001"
name = "build server"
rate = "1000/m"
expires = 2027-01-01T01:00:00.9+01:00
revoked = true
""",
        environ={"PROVIDER_KEY": "sk-provider"},
    )
    assert config.server.workers == 2
    assert config.upstreams == (
        Upstream("billing", (Target("127.0.0.1", 9001, "127.0.0.1:9001"), Target("::1", 80, "[::1]"))),
    )
    assert config.routes == (
        Route(
            name="api",
            path="/v1/",
            hosts=("api.example.com",),
            methods=("GET", "POST"),
            upstream="billing",
            auth="key",
            price_nanos=1_000_000,
            rate=Rate(100, SECOND, 200),
            dialect="openai",
            forward_key=True,
            preserve_host=True,
            set_headers=(("authorization", "Bearer sk-provider"), ("x-a", "1")),
        ),
    )
    assert config.accounts == (Account("acme", 100 * 10**9, 5 * 10**9),)
    assert config.keys == (
        Key("acme", Secret("sk-acme-0001"), "build server", Rate(1000, 60 * SECOND, 1000), 1798761600, True),
    )


def test_what_is_not_said_has_a_default(accept: Accept) -> None:
    config = accept(MINIMAL + ACCOUNT + KEY)
    assert config.routes == (Route("r", "/v1", (), (), "u", "key", 0, None, "problem", False, False, ()),)
    assert config.accounts == (Account("acme", 0, 0),)
    assert config.keys == (Key("acme", Secret("sk-acme-0001"), "", None, 0, False),)


def test_no_secret_shows_itself(accept: Accept) -> None:
    route = ROUTE + 'set_headers = { authorization = "Bearer sk-provider" }\n'
    config = accept(UPSTREAM + route + ACCOUNT + KEY)
    for shown in (repr(config), str(config), f"{config.keys[0].key}", f"{config.routes[0]}"):
        assert "sk-" not in shown
    assert "authorization" in repr(config)
    assert config.keys[0].key.reveal() == "sk-acme-0001"


# The line under test is always the fifth of its table, on line 12 of the file.
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "price = 0.001",
            'routes[0].price = 0.001: a bare decimal is a float and not exact; write it as a string: "0.001"',
        ),
        ('price = "-1"', 'routes[0].price = "-1": must not be negative'),
        ("price = -1", "routes[0].price = -1: must not be negative"),
        ('price = "0.0000000001"', "must have at most 9 decimals"),
        ('price = "9000000001"', "must be at most 9000000000"),
        ("price = nan", "routes[0].price = nan: "),
        ('rate = "100"', 'routes[0].rate = "100": must be a whole number ≥ 1 of requests per s, m, h or d'),
        ('rate = "0/s"', 'routes[0].rate = "0/s": must be a whole number'),
        ("burst = 5", "routes[0].burst = 5: needs a rate"),
        ('rate = "1/s"\nburst = 0', "routes[0].burst = 0: must be an integer from 1 to 1000000000"),
        ('rate = "1/d"\nburst = 1000', "routes[0].burst = 1000: a burst must refill within 366 days"),
        ('auth = "basic"', 'routes[0].auth = "basic": must be "key" or "none"'),
        ('dialect = "soap"', 'routes[0].dialect = "soap": must be "problem" or "openai" or "anthropic"'),
        ('forward_key = "yes"', 'routes[0].forward_key = "yes": must be true or false'),
        ("preserve_host = 1", "routes[0].preserve_host = 1: must be true or false"),
        ('hosts = "a.example"', 'routes[0].hosts = "a.example": must be an array'),
        (
            'hosts = ["a.example:80"]',
            'routes[0].hosts[0] = "a.example:80": must be an exact host name without port',
        ),
        ('hosts = ["*.example"]', 'routes[0].hosts[0] = "*.example": must be an exact host name'),
        ('hosts = ["a.example", "A.example"]', 'routes[0].hosts[1] = "A.example": is there twice'),
        ('methods = ["get"]', 'routes[0].methods[0] = "get": must be a method in upper case'),
        ('methods = ["CONNECT"]', "and not CONNECT"),
        ("methods = [1]", "routes[0].methods[0] = 1: must be a method"),
        ('pryce = "1"', "routes[0].pryce: unknown, did you mean price?"),
        ('set_headers = "a: b"', "routes[0].set_headers: must be a table"),
        ('set_headers = { "a b" = "c" }', "routes[0].set_headers.a b: must be a header name"),
        ('set_headers = { Host = "c" }', "routes[0].set_headers.Host: belongs to the connection"),
        ('set_headers = { content-length = "1" }', "set_headers.content-length: belongs to the connection"),
        (
            'set_headers = { Transfer-Encoding = "x" }',
            "set_headers.Transfer-Encoding: belongs to the connection",
        ),
        ('set_headers = { connection = "close" }', "set_headers.connection: belongs to the connection"),
        ('set_headers = { keep-alive = "1" }', "set_headers.keep-alive: belongs to the connection"),
        ('set_headers = { te = "trailers" }', "set_headers.te: belongs to the connection"),
        ('set_headers = { upgrade = "h2c" }', "set_headers.upgrade: belongs to the connection"),
        (
            'set_headers = { a = "1", A = "2" }',
            "routes[0].set_headers.A: is there twice; header names ignore case",
        ),
        ("set_headers = { a = 1 }", "routes[0].set_headers.a: must be a string"),
        ('set_headers = { a = "${NOT_SET}" }', "routes[0].set_headers.a: the environment has no NOT_SET"),
        ('set_headers = { a = "${EMPTY}" }', "routes[0].set_headers.a: the environment has no EMPTY"),
        ('set_headers = { a = "${1}" }', "a reference to the environment is written ${NAME}"),
        ('set_headers = { a = "${X" }', "a reference to the environment is written ${NAME}"),
        ('set_headers = { a = "b\\r\\nc: d" }', "must be 1 to 4096 printable ASCII characters"),
        ('set_headers = { a = "${TWO_LINES}" }', "must be 1 to 4096 printable ASCII characters"),
        ('set_headers = { a = "" }', "must be 1 to 4096 printable ASCII characters"),
        ('auth = "none"\nprice = "1"', 'routes[0].price = "1": a route with auth "none" knows no caller'),
        ('auth = "none"\nrate = "1/s"', 'routes[0].rate = "1/s": a route with auth "none" knows no caller'),
    ],
)
def test_a_wrong_line_of_a_route_is_refused_by_its_place(refuse: Refuse, line: str, message: str) -> None:
    environ = {"EMPTY": "", "TWO_LINES": "sk-provider\nx: y"}
    [problem] = refuse(f"{UPSTREAM}\n{ROUTE}\n{line}\n", environ=environ)
    assert problem.startswith(("fastgw.toml:12: ", "fastgw.toml:13: "))
    assert message in problem
    assert "sk-provider" not in problem


def test_an_anonymous_route_may_say_that_it_is_free(accept: Accept) -> None:
    assert accept(MINIMAL + 'auth = "none"\nprice = "0"\n').routes[0].auth == "none"


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/a.b/~c", "/%41", "/v1/x:y@z", "/..."])
def test_a_prefix_is_the_path_of_a_url(accept: Accept, path: str) -> None:
    assert accept(MINIMAL.replace("/v1", path)).routes[0].path == path


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("", 'starts with "/"'),
        ("v1", 'starts with "/"'),
        ("/a/../b", "no dot segments"),
        ("/a/.", "no dot segments"),
        ("/..", "no dot segments"),
        ("/%2e%2E/x", "no dot segments"),
        ("/a%2Eb", "no percent-encoded dots"),
        ("/a//b", "no empty segments"),
        ("/a?b", "no query"),
        ("/a#b", "no fragment"),
        ("/a b", "no space"),
        ("/é", "ASCII"),
        ("/a%2", "ASCII"),
        ("/a\\\\b", "ASCII"),
        ("/" + "a" * 1024, "at most 1024"),
    ],
)
def test_other_prefixes_are_refused(refuse: Refuse, path: str, rule: str) -> None:
    [problem] = refuse(MINIMAL.replace("/v1", path))
    assert problem.startswith("fastgw.toml:8: routes[0].path = ")
    assert rule in problem


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("", "", True),
        ('methods = ["GET"]', "", True),
        ('methods = ["GET", "PUT"]', 'methods = ["POST", "PUT"]', True),
        ('methods = ["GET"]', 'methods = ["POST"]', False),
        ('hosts = ["a.example"]', "", False),
        ('hosts = ["a.example", "b.example"]', 'hosts = ["B.example"]', True),
        ('hosts = ["a.example"]', 'hosts = ["b.example"]', False),
    ],
)
def test_two_routes_may_not_claim_the_same_request(
    accept: Accept, refuse: Refuse, first: str, second: str, clash: bool
) -> None:
    text = UPSTREAM + ROUTE + first + "\n" + SECOND_ROUTE + second
    if clash:
        [problem] = refuse(text)
        assert problem.startswith('fastgw.toml:14: routes[1].path = "/v1": routes[0] at fastgw.toml:8 has the same')
    else:
        assert len(accept(text).routes) == 2


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (ROUTE, 'fastgw.toml:5: routes[0].upstream = "u": no upstream has this name; there is none'),
        (UPSTREAM, "fastgw.toml: has no [[routes]]: add one, or give --upstream URL"),
        ("", "fastgw.toml: has no [[routes]]"),
        (
            MINIMAL.replace('["http://127.0.0.1:9001"]', "[]"),
            "fastgw.toml:4: upstreams[0].targets: needs at least one",
        ),
        (
            MINIMAL.replace(":9001", ":9001/v1"),
            'fastgw.toml:4: upstreams[0].targets[0] = "http://127.0.0.1:9001/v1"',
        ),
        (
            MINIMAL.replace("//127", "//user:pass@127"),
            "fastgw.toml:4: upstreams[0].targets[0]: must not hold credentials",
        ),
        (
            MINIMAL.replace("9001", '9001", "http://127.0.0.1:9001'),
            "fastgw.toml:4: upstreams[0].targets[1] = ",
        ),
        (UPSTREAM + MINIMAL, 'fastgw.toml:7: upstreams[1].name = "u": is already taken at fastgw.toml:3'),
        (
            MINIMAL + ROUTE.replace("/v1", "/v2"),
            'fastgw.toml:12: routes[1].name = "r": is already taken at fastgw.toml:7',
        ),
        (
            MINIMAL.replace('"r"', '"R"'),
            'fastgw.toml:7: routes[0].name = "R": must be 1 to 63 of a-z 0-9 _ . -',
        ),
        (MINIMAL.replace('name = "r"', ""), "fastgw.toml:6: routes[0].name: is missing"),
        (
            MINIMAL.replace("[[routes]]", "[routes]"),
            "fastgw.toml:6: routes: must be an array of tables, written [[routes]]",
        ),
        (MINIMAL.replace("[[routes]]", "[[route]]"), "fastgw.toml:6: route: unknown, did you mean routes?"),
        ("workers = 2\n" + MINIMAL, "fastgw.toml:1: workers: belongs under [server]"),
        ("[[server]]\nworkers = 2\n" + MINIMAL, "fastgw.toml:1: server: must be one table, written [server]"),
        (MINIMAL + "[[routes]]", "fastgw.toml:10: routes[1].name: is missing"),
        ("routes = [1]\n" + UPSTREAM, "fastgw.toml:1: routes[0]: must be a table"),
        (
            MINIMAL + ACCOUNT + ACCOUNT,
            'fastgw.toml:13: accounts[1].name = "acme": is already taken at fastgw.toml:11',
        ),
        (
            MINIMAL + '[[accounts]]\nname = "a b"',
            'fastgw.toml:11: accounts[0].name = "a b": must be 1 to 63 of',
        ),
        (MINIMAL + ACCOUNT + "balance = 1.5", "fastgw.toml:12: accounts[0].balance = 1.5: a bare decimal"),
        (
            MINIMAL + ACCOUNT + 'balance = "-1"',
            'fastgw.toml:12: accounts[0].balance = "-1": must not be negative',
        ),
        (
            MINIMAL + ACCOUNT + 'balance = "8e9"',
            'fastgw.toml:12: accounts[0].balance = "8e9": must be an amount',
        ),
        (
            MINIMAL + ACCOUNT + "balance = 5000000000\ncredit = 5000000000",
            "fastgw.toml:13: accounts[0].credit = 5000000000: balance and credit together must be at most",
        ),
        (MINIMAL + KEY, 'fastgw.toml:11: keys[0].account = "acme": no account has this name'),
    ],
)
def test_a_wrong_document_is_refused_by_its_place(refuse: Refuse, text: str, start: str) -> None:
    problems = refuse(text)
    assert any(problem.startswith(start) for problem in problems), problems
    assert "pass" not in "".join(problems)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('key = "sk-1234"', "keys[0].key: must be 8 to 256 printable ASCII characters without space"),
        ('key = "sk-12 345"', "keys[0].key: must be 8 to 256"),
        ('key = "sk-12,345"', "keys[0].key: must be 8 to 256"),
        ("key = 'sk-12\"345'", "keys[0].key: must be 8 to 256"),
        ('key = "sk-12\'345"', "keys[0].key: must be 8 to 256"),
        ('key = "sk-é2345678"', "keys[0].key: must be 8 to 256"),
        ('key = "sk-%s"' % ("x" * 254), "keys[0].key: must be 8 to 256"),
        ("key = 1234567890", "keys[0].key: must be 8 to 256"),
        ('kye = "sk-acme-0001"', "keys[0].kye: unknown, did you mean key?"),
        (
            'key = "sk-acme-0001"\nexpires = 2027-01-01',
            "keys[0].expires = 2027-01-01: must be a date and time with",
        ),
        ('key = "sk-acme-0001"\nexpires = 2027-01-01T00:00:00', "must be a date and time with offset"),
        ('key = "sk-acme-0001"\nexpires = "2027-01-01T00:00:00Z"', "must be a date and time with offset"),
        ('key = "sk-acme-0001"\nexpires = 1969-01-01T00:00:00Z', "must be later than 1970"),
        ('key = "sk-acme-0001"\nburst = 3', "keys[0].burst = 3: needs a rate"),
        ('key = "sk-acme-0001"\nrate = "fast"', 'keys[0].rate = "fast": must be a whole number'),
        ('key = "sk-acme-0001"\nmodels = []', "keys[0].models: must name a model"),
        ('key = "sk-acme-0001"\nmodels = ["a b"]', 'keys[0].models[0] = "a b": must be the name of a model'),
        ('key = "sk-acme-0001"\nrevoked = 1', "keys[0].revoked = 1: must be true or false"),
        ('key = "sk-acme-0001"\nname = ""', 'keys[0].name = "": must be 1 to 63'),
    ],
)
def test_a_wrong_key_is_refused_without_being_shown(refuse: Refuse, line: str, message: str) -> None:
    problems = refuse(f'{MINIMAL}{ACCOUNT}[[keys]]\naccount = "acme"\n{line}\n')
    [problem] = [problem for problem in problems if message in problem]
    assert problem.startswith(("fastgw.toml:14: ", "fastgw.toml:15: "))
    assert "sk-" not in "".join(problems)
    assert "1234567890" not in problem


def test_the_shortest_and_the_longest_key_are_taken(accept: Accept) -> None:
    keys = "".join(f'[[keys]]\naccount = "acme"\nkey = "{text}"\n' for text in ("!#$%&(+~", "x" * 256))
    assert [len(key.key.reveal()) for key in accept(MINIMAL + ACCOUNT + keys).keys] == [8, 256]


def test_the_same_key_twice_is_refused_without_being_shown(refuse: Refuse) -> None:
    [problem] = refuse(MINIMAL + ACCOUNT + KEY + KEY)
    assert problem == "fastgw.toml:17: keys[1].key: is the same as keys[0].key at fastgw.toml:14"


def test_a_key_may_belong_to_an_account_of_the_accounts_file(accept: Accept) -> None:
    Path("accounts.jsonl").write_text('{"name": "acme"}\n')
    config = accept('[server]\naccounts_file = "accounts.jsonl"\n' + MINIMAL + KEY)
    assert config.keys[0].account == "acme"


@pytest.mark.parametrize(
    ("setting", "tables", "message"),
    [
        (
            "routes_max = 1",
            ROUTE + RATE + SECOND_ROUTE.replace("/v1", "/v2") + RATE,
            "there are 2 routes",
        ),
        (
            "keys_max = 1",
            ROUTE + ACCOUNT + KEY + KEY.replace("0001", "0002"),
            "server.keys_max = 1: there are 2 keys",
        ),
        ("accounts_max = 1", ROUTE + ACCOUNT + ACCOUNT.replace("acme", "b"), "there are 2 accounts"),
    ],
)
def test_more_records_than_there_is_room_for_are_refused(
    refuse: Refuse, setting: str, tables: str, message: str
) -> None:
    [problem] = refuse(f"[server]\n{setting}\n{UPSTREAM}{tables}")
    assert problem.startswith("fastgw.toml:2: ")
    assert message in problem


def test_all_problems_are_told_at_once(refuse: Refuse) -> None:
    text = f"[server]\nworkers = 0\n{MINIMAL}price = 0.1\nrate = 1\n{KEY}"
    problems = refuse(text, {"url_max": "1"}, {"FASTGW_REALM": '"'})
    wheres = {problem.split(": ")[0] for problem in problems}
    assert wheres == {
        "fastgw.toml:2",
        "--url-max",
        "FASTGW_REALM",
        "fastgw.toml:12",
        "fastgw.toml:13",
        "fastgw.toml:15",
    }


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"[server]\nworkers = = 2\n", "fastgw.toml:2:11: is not TOML: "),
        (b"[server]\nworkers = 2\nworkers = 3\n", "fastgw.toml:3:"),
        (b"[server\n", "fastgw.toml:1:"),
        (b'a = """\n\n', "fastgw.toml:"),
        (b"[server]\nrealm = '\xff'\n", "fastgw.toml:2: is not UTF-8"),
        (b"a = " + b"[" * 100_000, "fastgw.toml"),
        (b"a = " + b"9" * 10_000, "fastgw.toml"),
    ],
)
def test_what_is_not_toml_is_refused_by_line_and_column(content: bytes, start: str) -> None:
    Path("fastgw.toml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load("fastgw.toml", {}, {})
    [problem] = caught.value.problems
    assert str(problem).startswith(start)


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^none\.toml: cannot be read: No such file or directory$"):
        load("none.toml", {}, {})
