"""How durations, sizes, rates, money and addresses are written, and what is refused."""

import pytest

from fastgw import addresses, units


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("500ms", 500),
        ("30s", 30_000),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("30d", 30 * 86_400_000),
        (30, 30_000),
        ("30", 30_000),
        (0, 0),
    ],
)
def test_a_duration_has_a_unit_and_a_bare_number_is_seconds(written: object, ms: int) -> None:
    assert units.parse_duration_ms(written) == ms


@pytest.mark.parametrize("written", ["", "s", "1.5s", "-1s", "1 s", "1S", "1w", "1m30s", "١s", -1, 1.5, True, None])
def test_other_durations_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        units.parse_duration_ms(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("8KiB", 8192),
        ("64MiB", 64 << 20),
        ("1GiB", 1 << 30),
        ("1TiB", 1 << 40),
        ("256B", 256),
        ("12", 12),
        (12, 12),
    ],
)
def test_a_size_has_a_binary_unit_and_a_bare_number_is_bytes(written: object, size: int) -> None:
    assert units.parse_size_bytes(written) == size


@pytest.mark.parametrize("written", ["8KB", "8kib", "8K", "1.5MiB", "-1", "8 KiB", -1, 8.0, False, [8]])
def test_other_sizes_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        units.parse_size_bytes(written)


@pytest.mark.parametrize("ms", [0, 1, 100, 999, 1_000, 75_000, 120_000, 3_600_000, 86_400_000, 90_061_001])
def test_a_shown_duration_reads_back_as_itself(ms: int) -> None:
    assert units.parse_duration_ms(units.format_duration(ms)) == ms


@pytest.mark.parametrize("size", [0, 1, 256, 1000, 8192, 64 << 20, 1 << 40, (1 << 40) + 1])
def test_a_shown_size_reads_back_as_itself(size: int) -> None:
    assert units.parse_size_bytes(units.format_size(size)) == size


def test_values_are_shown_in_the_largest_unit_that_holds_them() -> None:
    assert [units.format_duration(ms) for ms in (75_000, 120_000, 1_500)] == ["75s", "2m", "1500ms"]
    assert [units.format_duration(hours * 3_600_000) for hours in (24, 48, 49)] == ["24h", "2d", "49h"]
    assert [units.format_size(size) for size in (8192, 1000, 1 << 40)] == ["8KiB", "1000B", "1TiB"]


@pytest.mark.parametrize(
    ("written", "parsed"),
    [
        ("100/s", (100, 10**9)),
        ("1/m", (1, 60 * 10**9)),
        ("5000/h", (5000, 3600 * 10**9)),
        ("7/d", (7, 86400 * 10**9)),
        ("1000000000/s", (10**9, 10**9)),
    ],
)
def test_a_rate_is_a_count_per_unit(written: str, parsed: tuple[int, int]) -> None:
    assert units.parse_rate(written) == parsed


@pytest.mark.parametrize(
    "written",
    ["100", "0/s", "-1/s", "1.5/s", "100/10s", "100/sec", "100 / s", "/s", "1000000001/s", 100, None],
)
def test_other_rates_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match='written like "100/s"'):
        units.parse_rate(written)


def test_a_bucket_refills_within_a_year() -> None:
    units.check_refill(1, 86_400 * 10**9, 366)
    with pytest.raises(ValueError, match=r"at most 366$"):
        units.check_refill(1, 86_400 * 10**9, 367)


@pytest.mark.parametrize(
    ("written", "nanos"),
    [
        ("0", 0),
        ("0.001", 1_000_000),
        ("0.000000001", 1),
        ("100.00", 100_000_000_000),
        (5, 5_000_000_000),
        ("9000000000", 9 * 10**18),
        ("0.1", 100_000_000),
        ("8999999999.999999999", 9 * 10**18 - 1),
    ],
)
def test_money_becomes_integer_nanos_exactly(written: object, nanos: int) -> None:
    assert units.parse_money_nanos(written) == nanos


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        (0.001, 'write it as a string: "0.001"'),
        (1e-9, 'write it as a string: "0.000000001"'),
        ("-1", "must not be negative"),
        (-1, "must not be negative"),
        ("0.0000000001", "at most 9 decimals"),
        ("9000000000.000000001", "at most 9000000000"),
        (10**40, "at most 9000000000"),
        ("1e3", "decimal string"),
        ("NaN", "decimal string"),
        ("1,5", "decimal string"),
        (".5", "decimal string"),
        ("1_000", "decimal string"),
        (" 1", "decimal string"),
        ("١", "decimal string"),
        ("", "decimal string"),
        (True, "decimal string"),
        (None, "decimal string"),
    ],
)
def test_other_amounts_are_refused(written: object, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        units.parse_money_nanos(written)


@pytest.mark.parametrize("nanos", [0, 1, 1_000_000, 100 * 10**9, 9 * 10**18, 123_456_789_012])
def test_a_shown_amount_reads_back_as_itself(nanos: int) -> None:
    assert units.parse_money_nanos(units.format_money(nanos)) == nanos
    assert units.format_money(-nanos) == ("-" if nanos else "") + units.format_money(nanos)


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        (":8080", ("", 8080)),
        ("localhost:1", ("localhost", 1)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_a_listening_address_is_host_and_port(written: str, parts: tuple[str, int]) -> None:
    assert addresses.split_listen(written) == parts
    assert addresses.join_listen(*parts) == written


@pytest.mark.parametrize(
    "written",
    [
        "",
        "8080",
        "127.0.0.1",
        ":0",
        ":65536",
        "::1:80",
        "*:80",
        "1.2.3:80",
        "a b:80",
        "[::1%lo]:80",
        ":٨",
        8080,
    ],
)
def test_other_listening_addresses_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r'must be host:port .* ":8080" for all interfaces'):
        addresses.split_listen(written)


@pytest.mark.parametrize(
    ("written", "address", "path", "name"),
    [
        (":8080", ":8080", "", None),
        ("[0:0::1]:443", "[::1]:443", "", None),
        ("unix:/run/fastgw.sock", "unix:/run/fastgw.sock", "/run/fastgw.sock", None),
        (f"unix:/{'a' * 106}", f"unix:/{'a' * 106}", f"/{'a' * 106}", None),
        ("systemd", "systemd", "", ""),
        ("systemd:web", "systemd:web", "", "web"),
    ],
)
def test_a_listener_is_on_a_port_or_a_unix_socket_or_one_of_systemds(
    written: str, address: str, path: str, name: str | None
) -> None:
    assert addresses.parse_door(written) == address
    assert (addresses.socket_path(address), addresses.passed_name(address)) == (path, name)
    assert addresses.is_port(address) is (path == "" and name is None)


@pytest.mark.parametrize(
    "written", ["unix:", "unix:run", "unix:80", f"unix:/{'a' * 107}", "unix:/a b", "systemd:", "systemd:a:b", "a", 80]
)
def test_other_listeners_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"must be host:port like .* or .unix:/path. with a path of at most 107"):
        addresses.parse_door(written)


@pytest.mark.parametrize(
    ("written", "network"),
    [("10.0.0.0/8", "10.0.0.0/8"), ("10.0.0.1", "10.0.0.1/32"), ("2001:DB8::/32", "2001:db8::/32"), ("unix", "unix")],
)
def test_a_network_is_written_with_its_length(written: str, network: str) -> None:
    assert addresses.parse_network(written) == network


@pytest.mark.parametrize("written", ["", "10.0.0.1/8", "example.com", "10.0.0.0/33", "::1%lo", 10, None])
def test_other_networks_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a network"):
        addresses.parse_network(written)


@pytest.mark.parametrize(
    ("a", "b", "meet"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        (":80", "127.0.0.1:80", True),
        ("[::]:80", "[::1]:80", True),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        (":80", ":81", False),
        (":80", "0.0.0.0:80", True),
        ("[::]:80", "0.0.0.0:80", False),
        ("[::]:80", "127.0.0.1:80", False),
        ("[::]:80", "localhost:80", True),
        ("0.0.0.0:80", "[::1]:80", False),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", ":80", False),
        ("systemd", "systemd:a", False),
    ],
)
def test_addresses_meet_on_one_port_where_one_is_every_host(a: str, b: str, meet: bool) -> None:
    assert addresses.overlap(a, b) is meet


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("http://127.0.0.1:9001", ("127.0.0.1", 9001, "127.0.0.1:9001")),
        ("http://Api.Internal", ("api.internal", 80, "Api.Internal")),
        ("http://[::1]:9001", ("::1", 9001, "[::1]:9001")),
        ("http://[::1]", ("::1", 80, "[::1]")),
        ("http://a_b-c.example:1", ("a_b-c.example", 1, "a_b-c.example:1")),
    ],
)
def test_a_target_is_a_host_with_its_authority_as_written(written: str, parts: tuple[str, int, str]) -> None:
    assert addresses.split_target(written) == (*parts, False, "", False)


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("https://api.example.com", ("api.example.com", 443, "api.example.com", True, "", False)),
        ("HTTPS://[::1]:8443", ("::1", 8443, "[::1]:8443", True, "", False)),
        ("unix:/run/app.sock", ("", 0, "localhost", False, "/run/app.sock", False)),
        ("srv+http://_http._tcp.a.example", ("_http._tcp.a.example", 0, "_http._tcp.a.example", False, "", True)),
        ("srv+https://_api._tcp.b", ("_api._tcp.b", 0, "_api._tcp.b", True, "", True)),
    ],
)
def test_a_target_may_be_https_a_socket_or_srv_records(written: str, parts: tuple[object, ...]) -> None:
    assert addresses.split_target(written) == parts


@pytest.mark.parametrize(
    "written",
    [
        "https://", "127.0.0.1:9001", "http://", "http://a/", "http://a/v1", "http://a:0", "http://a:70000",
        "http://a:", "http://a?x", "http://-a", "http://1.2.3.400", "http://a..b", "http://[::1",
        "http://a\n", 9001, "ftp://a", "unix:app.sock", "unix:/" + 107 * "a", "srv+http://a", "srv+http://_a:1",
        "http:a",
    ],
)  # fmt: skip
def test_other_targets_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be http://"):
        addresses.split_target(written)
