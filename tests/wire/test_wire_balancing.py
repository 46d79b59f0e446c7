"""Several servers of one upstream: who gets which call, by every policy, and what each is called."""

from __future__ import annotations

from .conftest import NewHost
from .rig import Gateway
from .spread import call, config, counts, oracles, seen, weighted


def test_weights_are_kept_exactly_and_a_server_without_one_gets_nothing(terms: Gateway, new_host: NewHost) -> None:
    with oracles(3) as servers:
        host = new_host(
            config([weighted(server.port, weight) for server, weight in zip(servers, (5, 1, 0), strict=True)])
        )
        with host.connect() as client:
            assert {call(client).status for _ in range(36)} == {200}
        assert counts(servers) == [30, 6, 0]
        first = [arrival.fields for arrival in servers[0].arrivals]
        assert {dict(fields)["host"] for fields in first} == {f"127.0.0.1:{servers[0].port}"}
        assert [seen(terms, server.port)["calls"] for server in servers] == [30, 6, 0]


def test_where_nobody_is_to_get_calls_they_are_refused_at_once_and_free(terms: Gateway, new_host: NewHost) -> None:
    with oracles(1) as [server]:
        host = new_host(config([weighted(server.port, 0)]))
        before = terms.captured("rich")
        with host.connect() as client:
            for method in ("GET", "POST"):
                answer = call(client, method=method)
                assert (answer.status, answer.one("retry-after")) == (503, "5")
                assert b'"code":"upstream_unavailable"' in answer.body
                assert b'"retryable":true' in answer.body
            host.reconfigure(config([server.port]))
            assert call(client).status == 200
        assert counts([server]) == [1]
        assert terms.captured("rich") == before + 1_000_000
