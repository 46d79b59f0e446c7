"""What is known of an upstream's servers without asking anybody, and how a roster gets from process to process."""

import os

from fastgw import roster
from fastgw.addresses import split_target
from fastgw.model import Target, Upstream, UpstreamTls
from fastgw.roster import Endpoint, Roster


def target(url: str, weight: int = 1, expand: bool = False) -> Target:
    parts = split_target(url)
    return Target(parts.host, parts.port, parts.authority, weight, parts.tls, parts.socket, parts.srv, expand)


def test_addresses_and_sockets_are_known_and_names_are_not() -> None:
    targets = (
        target("http://10.0.0.1:9000", weight=3),
        target("https://[::1]"),
        target("unix:/run/app.sock"),
        target("http://api.example.com"),
        target("srv+http://_http._tcp.example.com"),
    )
    assert roster.known(Upstream("api", targets)) == (
        Endpoint("10.0.0.1:9000", ("10.0.0.1",), 9000, "", "10.0.0.1:9000", False, "", weight=3),
        Endpoint("[::1]:443", ("::1",), 443, "", "[::1]", True, "::1"),
        Endpoint("unix:/run/app.sock", (), 0, "/run/app.sock", "localhost", False, ""),
    )


def test_a_certificate_is_for_the_name_that_was_written() -> None:
    assert roster.service_of(target("https://api.example.com:8443")) == "api.example.com"
    assert roster.service_of(target("srv+https://_https._tcp.example.com")) == "example.com"
    assert roster.service_of(target("srv+https://_https")) == "_https"
    upstream = Upstream("api", (target("https://10.0.0.1"),), tls=UpstreamTls(server_name="api.example.com"))
    [endpoint] = roster.known(upstream)
    assert (endpoint.server_name, endpoint.authority) == ("api.example.com", "10.0.0.1")


def test_a_number_is_kept_even_when_its_server_is_away() -> None:
    def named(*ports: int) -> tuple[Endpoint, ...]:
        return roster.known(Upstream("u", tuple(target(f"http://10.0.0.1:{port}") for port in ports)))

    def numbers(made: Roster) -> dict[str, list[int]]:
        return {name: [each.number for each in endpoints] for name, endpoints in made.upstreams.items()}

    giving = roster.Numbers(Roster({}))
    first = giving.give({"a": named(1, 2), "b": named(1)})
    assert (numbers(first), first.generation) == ({"a": [1, 2], "b": [3]}, 1)
    second = giving.give({"a": named(3, 2), "b": named(4, 1)})
    assert (numbers(second), second.generation) == ({"a": [4, 2], "b": [5, 3]}, 2)
    assert numbers(giving.give({"a": named(2, 1), "b": named(4, 1)})) == {"a": [2, 1], "b": [5, 3]}
    assert numbers(roster.numbered({"b": named(1, 4, 5)}, second)) == {"b": [3, 5, 6]}


def test_numbers_come_back_when_many_servers_are_gone() -> None:
    giving = roster.Numbers(Roster({}))
    numbers = set()
    for port in range(1, roster.AWAY_MAX + 100):
        [endpoint] = giving.give({"a": roster.known(Upstream("a", (target(f"http://10.0.0.1:{port}"),)))}).upstreams[
            "a"
        ]
        numbers.add(endpoint.number)
    assert numbers == set(range(1, roster.AWAY_MAX + 2))


def test_a_roster_is_read_as_it_was_published_any_number_of_times() -> None:
    upstream = Upstream("api", (target("http://10.0.0.1:9000"), target("unix:/run/app.sock")))
    made = Roster({"api": roster.known(upstream), "none": ()}, generation=7)
    descriptor = roster.publish(made)
    try:
        assert roster.read(descriptor) == roster.read(descriptor) == made
    finally:
        os.close(descriptor)
