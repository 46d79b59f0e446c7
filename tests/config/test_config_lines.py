"""On which line a value is said to stand."""

import pytest

from fastgw.config.toml_lines import Lines, Path

DOCUMENT = '''\
# [server]
[server]
listen = "a" # workers = 1
"workers" = 2
server.deep = 1

[[routes]]
name = """
[[routes]]
price = "9"
"""
hosts = [
  "x", # ]
  "price = 1",
]
price = "1"
set_headers = { a = "b" }
[[routes]] # again
name = \'\'\'[[routes]]
\'\'\'
[routes.set_headers]
authorization = "c"
[[keys]]
'key' = "v"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("server",), 2),
        (("server", "listen"), 3),
        (("server", "workers"), 4),
        (("server", "missing"), 2),
        (("routes", 0), 7),
        (("routes", 0, "name"), 8),
        (("routes", 0, "hosts"), 12),
        (("routes", 0, "hosts", 1), 12),
        (("routes", 0, "price"), 16),
        (("routes", 0, "set_headers", "a"), 17),
        (("routes", 1), 18),
        (("routes", 1, "name"), 19),
        (("routes", 1, "upstream"), 18),
        (("routes", 1, "set_headers"), 21),
        (("routes", 1, "set_headers", "authorization"), 22),
        (("keys", 0, "key"), 24),
        (("nowhere",), 1),
    ],
)
def test_a_value_stands_where_it_was_written_or_else_where_its_table_begins(path: Path, line: int) -> None:
    assert Lines(DOCUMENT).line(path) == line


def test_dotted_keys_and_windows_line_ends_are_followed() -> None:
    lines = Lines("a = 1\r\nserver.workers = 2\r\n")
    assert lines.line(("server", "workers")) == 2


def test_a_last_line_without_end_counts() -> None:
    assert Lines("[server]\nworkers = 1").line(("server", "workers")) == 2


def test_an_inline_table_over_several_lines_is_one_value() -> None:
    lines = Lines('[[routes]]\nset_headers = {\n  price = "x",\n}\nprice = "1"\n')
    assert lines.line(("routes", 0, "price")) == 5
