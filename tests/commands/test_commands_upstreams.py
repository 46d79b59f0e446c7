"""`fastgw upstreams` for people: a line for each server, and one for what is not known."""

from fake_gateway import Gateway, Run, rows

SERVER = {
    "name": "10.0.0.1:9000", "target": "10.0.0.1:9000", "addresses": ["10.0.0.1"], "weight": 1, "state": "up",
    "reason": "", "checked": None, "in_flight": 2, "connections": 3, "calls": 1_234, "failures": 5, "retries": 0,
    "ejections": 0,
}  # fmt: skip
TARGET = {
    "name": "10.0.0.1:9000", "url": "http://10.0.0.1:9000", "origin": "file", "weight": 1, "drained": False,
    "expand": False, "problem": "",
}  # fmt: skip
API = {
    "name": "api", "balance": "round_robin", "targets_file": "t", "problem": "t:3: nonsense",
    "targets": [TARGET, {**TARGET, "name": "api.test:80", "problem": "api.test: there is no such name"}],
    "servers": [SERVER],
}  # fmt: skip


def test_every_server_has_a_line_and_what_is_not_known_says_why(gateway: Gateway, run: Run) -> None:
    gateway.on(
        "GET /v1/upstreams", {"items": [API, {**API, "name": "none", "targets": [], "servers": [], "problem": ""}]}
    )
    code, out, err = run("upstreams")
    assert (code, err) == (0, "fastgw: api: t:3: nonsense; its targets are those that were read last\n")
    assert rows(out)[1:] == [
        ["api", "10.0.0.1:9000", "file", "1", "up", "2", "3", "1,234", "5", "-"],
        ["api", "api.test:80", "file", "1", "unknown", *"----", "api.test:", "there", "is", "no", "such", "name"],
        ["none", "-", "-", "-", "down", *"----", "it", "has", "no", "targets"],
    ]
