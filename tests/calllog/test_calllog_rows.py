"""A row says what the call was: names instead of numbers, text that nobody can forge."""

import ipaddress
import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from conftest import HOUR, NOON, Journals, KnownNames, OpenLog, eventually, rows, set_paths
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastgw.calllog import Call, LogSettings, access, columns
from fastgw.calllog.access import calls_of
from fastgw.calllog.names import SMALL, NameBook
from fastgw.refusals import Refusal


@pytest.fixture
def book(tmp_path: Path) -> NameBook:
    return NameBook(tmp_path / "x.names")


def escaped(raw: bytes) -> str:
    return "".join(chr(octet) if 0x20 < octet < 0x7F and octet != 0x5C else f"\\x{octet:02X}" for octet in raw)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(paths=st.lists(st.one_of(st.binary(max_size=200), st.from_regex(rb"/[!-~]{0,120}", fullmatch=True)), min_size=1))
def test_a_path_is_what_came_as_far_as_it_was_kept_and_no_byte_of_it_ends_a_line(
    book: NameBook, paths: list[bytes]
) -> None:
    made = rows(len(paths))
    set_paths(made, paths)
    calls = calls_of(made, 1, book)
    assert [call.path for call in calls] == [escaped(path[:96]) for path in paths]
    text = "".join(call.path for call in calls)
    assert text.isascii()
    assert text.isprintable()


def test_numbers_become_names_and_what_nobody_knows_is_a_number(book: NameBook) -> None:
    class Half(KnownNames):
        def account(self, index: int) -> str:
            return "" if index == 6 else super().account(index)

    made = rows(4)
    made["account"], made["key"], made["route"] = [0, 1, 7, 3], [0, 2, 5, 2], [0, 1, 1, 2]
    made["verdict"] = [Refusal.NO_ROUTE, Refusal.ADMITTED, 255, Refusal.RATE_LIMITED]
    made["method"] = [0, 1, 3, 99]
    made["target"] = [0, 2, 9, 1]
    book.learn(made, Half())
    calls = calls_of(made, 5, book)
    assert [call.position for call in calls] == [5, 6, 7, 8]
    assert [call.account for call in calls] == ["", "acct-1", "#6", "acct-3"]
    assert [call.key_id[-3:] for call in calls] == ["", "002", "005", "002"]
    assert [call.route for call in calls] == ["", "chat", "chat", "#1"]
    assert [call.verdict for call in calls] == ["no_route", "admitted", "?", "rate_limited"]
    assert [call.method for call in calls] == ["OTHER", "GET", "POST", "?"]
    assert [call.target for call in calls] == ["", "10.0.0.2:9001", "", "10.0.0.1:9001"]
    assert calls[1].time == "2025-11-20T12:00:00.001000Z"
    assert calls[1].request_id == "00000000000000070000000000000001"
    again = NameBook(book.path)
    assert calls_of(made, 5, again) == calls, "another process reads the same"


def test_many_names_are_the_same_as_few(book: NameBook) -> None:
    made = rows(3 * SMALL)
    made["key"] = np.random.default_rng(7).permutation(3 * SMALL) + 1
    book.learn(made, KnownNames())
    assert len(book.keys) > SMALL
    assert [call.key_id for call in calls_of(made, 1, book)] == [f"key_{key:016x}" for key in made["key"].tolist()]


def test_a_call_went_to_the_target_that_its_number_meant_when_it_began(book: NameBook) -> None:
    names, made = KnownNames(), rows(3)
    book.learn(made, names)
    names.now = {3: "10.0.0.3:9001", **names.now}
    book.learn(made, names)
    assert len(book.versions) == 1, "what meant nothing before has always meant it"
    names.now = {1: "10.9.9.9:1", 2: "10.0.0.1:9001"}
    book.learn(made, names)
    made["time_ns"][1:] = time.time_ns()
    made["target"] = [1, 1, 3]
    for each in (book, NameBook(book.path)):
        assert [call.target for call in calls_of(made, 1, each)] == ["10.0.0.1:9001", "10.9.9.9:1", "10.0.0.3:9001"]
    assert [call.target for call in calls_of(made[1:], 1, book)] == ["10.9.9.9:1", "10.0.0.3:9001"]


def test_a_line_of_names_that_was_cut_off_is_as_if_it_had_not_been_begun(book: NameBook) -> None:
    made = rows(2)
    book.learn(made, KnownNames())
    whole = book.path.read_bytes()
    book.path.write_bytes(whole + b'{"accounts":{"9":"torn')
    again = NameBook(book.path)
    assert book.path.read_bytes() == whole
    assert again.accounts.word(1) == "acct-1"
    made["account"] = 9
    again.learn(made, KnownNames())
    assert NameBook(book.path).accounts.word(9) == "acct-9"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(texts=st.lists(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), min_size=1))
def test_an_address_is_written_as_everybody_does(book: NameBook, texts: list[Any]) -> None:
    made = rows(len(texts))
    for row, address in zip(made, texts, strict=True):
        mapped = b"\0" * 10 + b"\xff\xff" + address.packed if address.version == 4 else address.packed
        row["address"] = list(mapped)
    shown = [call.address for call in calls_of(made, 1, book)]
    wanted = [getattr(address, "ipv4_mapped", None) or address for address in texts]
    assert [ipaddress.ip_address("::" if text == "unix" else text) for text in shown] == wanted
    assert all(text == text.lower() and " " not in text for text in shown)


def test_the_columns_are_the_fields_of_a_call() -> None:
    assert tuple(field.name for field in columns.FIELDS) == Call.__struct_fields__


# Access lines


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def test_a_call_is_a_line_of_json_in_the_file_that_has_the_name_now(
    journals: Journals, open_log: OpenLog, tmp_path: Path
) -> None:
    file = tmp_path / "access.log"
    log = open_log(journals, access_log=str(file))
    made = rows(3)
    set_paths(made, [b"/a", b'/"\\\r\n{"status":200}', b"/\x1b[31m"])
    journals.put(0, made)
    eventually(lambda: file.exists() and len(lines_of(file)) == 3)
    assert [line["path"] for line in lines_of(file)] == ["/a", '/"\\x5C\\x0D\\x0A{"status":200}', "/\\x1B[31m"]
    assert lines_of(file)[0]["account"] == "acct-1"
    assert lines_of(file)[0] == json.loads(orjson.dumps(log.calls(newest_first=False)[0], default=_plain))
    file.rename(tmp_path / "access.log.1")
    log.reopen()
    journals.put(0, rows(2, start=3))
    eventually(lambda: file.exists() and len(lines_of(file)) == 2)
    assert len(lines_of(tmp_path / "access.log.1")) == 3
    log.configure(LogSettings(keep_ms=0, access_log=""))
    journals.put(0, rows(2, start=5))
    log.stop()
    assert len(lines_of(file)) == 2


def _plain(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def test_who_does_not_read_the_lines_stops_nobody(
    journals: Journals, open_log: OpenLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "QUEUE_BLOCKS", 4)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    log = open_log(journals, access_log=str(pipe))
    for start in range(0, 20_000, 1_000):
        journals.put(0, rows(1_000, start=start))
        begun = time.monotonic()
        assert log.flush()
        assert time.monotonic() - begun < 2
    assert log.state().rows == 20_000
    assert log.state().lines_dropped > 0
    whole = b""
    while log.lines.waiting.qsize() or not whole.endswith(b"\n"):
        try:
            whole += os.read(reader, 1 << 16)
        except BlockingIOError:
            time.sleep(0.001)
    assert all(orjson.loads(line)["status"] == 200 for line in whole.splitlines())
    os.close(reader)


def test_a_file_that_cannot_be_opened_costs_lines_and_is_said_once(
    journals: Journals, open_log: OpenLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "later"
    log = open_log(journals, access_log=str(folder / "access.log"))
    for start in (0, 10):
        journals.put(0, rows(10, start=start))
        eventually(partial(lambda wanted: log.state().lines_dropped == wanted, start + 10))
    assert capsys.readouterr().err.count("access lines cannot be written") == 1
    folder.mkdir()
    journals.put(0, rows(10, start=20))
    eventually(lambda: (folder / "access.log").exists() and len(lines_of(folder / "access.log")) == 10)


def test_hours_are_of_utc(journals: Journals, open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log(journals)
    journals.put(0, rows(4, time_ns=NOON - HOUR, step_ns=HOUR // 2))
    log.stop()
    names = sorted(str(path.relative_to(tmp_path / "calls")) for path in (tmp_path / "calls").glob("2*/*"))
    assert names == [f"2025-11-20/{hour}-{1:016}-{4:016}.parquet" for hour in (11, 12)]
