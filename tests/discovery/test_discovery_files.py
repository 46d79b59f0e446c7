"""What a targets_file may say, what is wrong in one, and when it is read."""

import os
from pathlib import Path

import pytest

from fastgw.discovery.targets_file import SIZE_MAX, BrokenError, TargetsFile, read
from fastgw.model import Target

LINES = """
# two and a socket
http://10.0.0.1:9000
  https://api.test weight=3 expand=true   # by name
unix:/run/app.sock weight=0
"""
JSON = """[
  "http://10.0.0.1:9000",
  {"url": "https://api.test", "weight": 3, "expand": true},
  {"url": "unix:/run/app.sock", "weight": 0}
]
"""
TARGETS = (
    Target("10.0.0.1", 9000, "10.0.0.1:9000"),
    Target("api.test", 443, "api.test", weight=3, tls=True, expand=True),
    Target("", 0, "localhost", weight=0, socket="/run/app.sock"),
)


@pytest.mark.parametrize("text", [LINES, JSON, LINES.replace("\n", "\r\n"), JSON.replace("\n", "")])
def test_lines_and_json_say_the_same(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text)
    assert read(str(tmp_path / "t")) == TARGETS


@pytest.mark.parametrize("text", ["", "\n# none yet\n", "[]", " [ ] \n"])
def test_there_may_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text)
    assert read(str(tmp_path / "t")) == ()


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("http://a.test\nftp://b.test\n", 2, '"ftp://b.test": must be http://'),
        ("http://a.test wight=2", 1, '"wight=2" must be weight=N'),
        ("\nhttp://a.test weight=2 weight=3", 2, "once"),
        ("http://a.test weight=-1", 1, "weight must be an integer"),
        ("http://a.test expand=1", 1, "expand must be true or false"),
        ("http://a.test\n\nhttp://A.test:80\n", 3, "a.test:80 is there twice"),
        ("http://user:secret@a.test", 1, "must not hold credentials"),
        ('["http://a.test",\n"http://b.test"\n"http://c.test"]', 3, 'expected ","'),
        ('["http://a.test",\n 7]', 2, "7: must be http://"),
        ('["http://a.test"', 1, "is no JSON"),
        ("[] []", 1, "there is more behind the array"),
        ('[\n\n{"url": "http://a.test", "wait": 1}]', 3, "wait is unknown"),
        ("http://a.test\n\xff", 2, "is no UTF-8"),
    ],
)
def test_what_is_wrong_is_said_by_line_and_no_secret_of_it(tmp_path: Path, text: str, line: int, part: str) -> None:
    path = tmp_path / "t"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BrokenError) as caught:
        read(str(path))
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert part in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_too_large_or_not_there_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "t"
    with pytest.raises(BrokenError, match="cannot be read: No such file"):
        read(str(path))
    with open(path, "wb") as file:
        file.truncate(SIZE_MAX + 1)
    with pytest.raises(BrokenError, match="larger than 4 MiB"):
        read(str(path))


def test_it_is_read_once_it_has_stayed_the_same_and_what_breaks_it_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t"
    file = TargetsFile(str(path))
    assert file.look(at_once=True)
    assert (file.targets, "No such file" in file.problem) == (None, True)
    path.write_text("http://10.0.0.1\nhttp://10.0.")
    assert not file.look(), "somebody is writing"
    path.write_text("http://10.0.0.1\nhttp://10.0.0.2\n")
    assert not file.look()
    assert file.look()
    assert not file.look(), "nothing is new"
    assert [target.host for target in file.targets or ()] == ["10.0.0.1", "10.0.0.2"]
    (tmp_path / "new").write_text("what is this")
    os.replace(tmp_path / "new", path)
    assert [file.look(), file.look(), len(file.targets or ())] == [False, True, 2]
    assert file.problem.startswith(f"{path}:1: ")
    path.unlink()
    assert [file.look(), file.look(), len(file.targets or ())] == [False, True, 2]
    path.write_text("# none")
    assert [file.look(), file.look(), file.targets, file.problem] == [False, True, (), ""]
