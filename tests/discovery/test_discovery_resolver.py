"""What a name stands for: /etc/hosts, A and AAAA, SRV, search lists, and why it stands for nothing."""

import asyncio
from pathlib import Path

import pytest
from servers import Dns

from fastgw.discovery import resolver, watch
from fastgw.discovery.resolver import Addresses, Resolver, Service, Services, Unresolved, interleaved
from fastgw.discovery.watch import Watch


def addresses(asked: Resolver, name: str) -> Addresses:
    return asyncio.run(asked.addresses(name))


def problem(asked: Resolver, name: str) -> str:
    with pytest.raises(Unresolved) as caught:
        addresses(asked, name)
    return str(caught.value.args[0])


def test_both_families_are_asked_and_take_turns(names: Dns, tmp_path: Path) -> None:
    names.set("api.test", "A", "10.0.0.2", "10.0.0.1", "10.0.0.10", ttl=40)
    names.set("api.test", "AAAA", "2001:db8::1", ttl=30)
    found = addresses(names.resolver(tmp_path), "api.test")
    assert found == Addresses(("2001:db8::1", "10.0.0.1", "10.0.0.2", "10.0.0.10"), 30)
    assert interleaved(["::2", "10.0.0.1", "::1"]) == ("::1", "10.0.0.1", "::2")


def test_one_family_is_enough_and_its_time_counts(names: Dns, tmp_path: Path) -> None:
    names.set("four.test", "A", "10.0.0.1", ttl=7)
    assert addresses(names.resolver(tmp_path), "four.test") == Addresses(("10.0.0.1",), 7)


def test_the_machines_own_table_goes_first_and_is_read_again(names: Dns, tmp_path: Path) -> None:
    names.set("api.test", "A", "10.0.0.1")
    asked = names.resolver(tmp_path, hosts="# ours\n10.9.9.9  other API.test  # here\nbroken api.test\n::9 api.test\n")
    assert addresses(asked, "api.test").addresses == ("::9", "10.9.9.9")
    assert names.asked == []
    (tmp_path / "hosts").write_text("")
    assert addresses(asked, "api.test").addresses == ("10.0.0.1",)
    assert addresses(asked, "localhost").addresses == ("::1", "127.0.0.1")
    (tmp_path / "hosts").unlink()
    assert addresses(asked, "api.test").addresses == ("10.0.0.1",)


def test_a_short_name_is_looked_for_in_the_search_list_and_a_long_one_as_it_is(names: Dns, tmp_path: Path) -> None:
    names.set("web.ns.svc.test", "A", "10.0.0.1")
    names.set("a.b.test", "A", "10.0.0.2")
    asked = names.resolver(tmp_path, conf="search other.test ns.svc.test\noptions ndots:2\n")
    assert addresses(asked, "web").addresses == ("10.0.0.1",)
    names.asked.clear()
    assert addresses(asked, "a.b.test").addresses == ("10.0.0.2",)
    assert names.asked[0].startswith("a.b.test.")


def test_why_there_is_no_answer_is_said(names: Dns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names.set("mail.test", "MX", "1 mail.test.")
    asked = names.resolver(tmp_path)
    assert problem(asked, "nobody.test") == "there is no such name"
    assert problem(asked, "mail.test") == "the name has no address"
    monkeypatch.setattr(resolver, "LIFETIME_S", 0.1)
    names.silent = True
    assert problem(asked, "nobody.test") == f"{names.address} did not answer within 0.1 s"
    bare = Resolver("", asked.hosts, str(tmp_path / "missing"))
    assert str(tmp_path / "missing") in problem(bare, "nobody.test")


def test_srv_records_are_servers_unless_there_is_decidedly_none(names: Dns, tmp_path: Path) -> None:
    names.set("_http._tcp.test", "SRV", "10 5 9000 B.test.", "1 30 9001 a.test.", ttl=9)
    names.set("_none._tcp.test", "SRV", "0 0 0 .")
    asked = names.resolver(tmp_path)
    expected = Services((Service(1, "a.test", 9001, 30), Service(10, "b.test", 9000, 5)), 9)
    assert asyncio.run(asked.services("_http._tcp.test")) == expected
    assert asyncio.run(asked.services("_none._tcp.test")).services == ()


def test_a_name_is_asked_for_again_by_its_time_and_keeps_its_answer_when_it_fails(
    names: Dns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "TTL_MIN_S", 0.02)
    monkeypatch.setattr(watch, "RETRY_S", 0.02)
    names.set("api.test", "A", "10.0.0.1", ttl=0)
    heard: list[tuple[str, str]] = []

    async def follow() -> None:
        def changed(name: str, was: str) -> None:
            heard.append((name, was))
            come.set()

        async def change() -> None:
            come.clear()
            await asyncio.wait_for(come.wait(), 5)

        come = asyncio.Event()
        watched = Watch("api.test", names.resolver(tmp_path).addresses, changed)
        assert not watched.asked
        await change()
        assert (watched.answer, watched.problem) == (Addresses(("10.0.0.1",), 0), "")
        names.set("api.test", "A", "10.0.0.2", ttl=0)
        await change()
        assert watched.answer == Addresses(("10.0.0.2",), 0)
        names.zone.clear()
        await change()
        assert (watched.answer, watched.problem) == (Addresses(("10.0.0.2",), 0), "there is no such name")
        names.set("api.test", "A", "10.0.0.2", ttl=0)
        await change()
        assert (watched.problem, heard[-1]) == ("", ("api.test", "there is no such name"))
        watched.stop()

    asyncio.run(follow())
    assert len(heard) == 4, "the same answer again is no change"
