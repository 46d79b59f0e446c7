"""Every link of the manual leads somewhere, every page is in the index, and every figure says how it was made."""

import re
from pathlib import Path

import pytest
from pages import PAGES, ROOT, headings, links, sections

from fastgw.config.reference import anchor

FIGURE = re.compile(r"\d (?:µs|microseconds|ms added|ms a call)\b|\d(?:\.\d+)? ×")
COMMAND = re.compile(r"`(?:nice )?python bench/|\(\.\./bench/|\]\(bench/|#figures")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_what_is_there(page: Path) -> None:
    for line, target in links(page):
        if target.startswith(("http://", "https://")):
            continue
        file, _, place = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{page.name}:{line}: {target}"
        assert path.is_relative_to(ROOT)
        if place:
            assert place in map(anchor, headings(path)), f"{page.name}:{line}: {target}"


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    named = {target.partition("#")[0] for _, target in links(index)}
    for page in PAGES:
        if page.parent == index.parent and page != index:
            assert page.name in named
    assert any(target.startswith("docs/") for _, target in links(ROOT / "README.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_figure_names_the_command_that_made_it(page: Path) -> None:
    for heading, text in sections(page):
        if FIGURE.search(text):
            assert COMMAND.search(text), f"{page.name}: {heading}"
