"""The page of answers has every refusal, by its code, under its status, with the sentence that is sent."""

import re

from pages import ROOT, sections

from fastgw.refusals import TABLE, Refusal

PAGE = ROOT / "docs" / "answers.md"


def test_every_refusal_is_explained_as_it_is_sent() -> None:
    found: dict[str, tuple[str, str]] = {}
    status = ""
    for heading, text in sections(PAGE):
        if re.fullmatch(r"[45]\d\d", heading):
            status = heading
        elif status:
            found[heading] = (status, text)
    assert set(found) == {refusal.name.lower() for refusal in TABLE}
    for refusal, row in TABLE.items():
        status, text = found[refusal.name.lower()]
        numbers = "".join(f" · `{number.name.lower()}`" for number in row.numbers)
        first = f"{'retry' if row.retryable else 'no retry'}{numbers} · *{row.detail}*"
        assert (status, text.splitlines()[2]) == (str(row.status), first), refusal.name
        assert "\n- Callers: " in text
        assert "\n- You: " in text


def test_what_is_sent_to_nobody_has_no_place_there() -> None:
    for refusal in (Refusal.CLIENT_GONE, Refusal.WORKER_DIED):
        assert refusal not in TABLE
        assert refusal.name.lower() not in [heading for heading, _ in sections(PAGE)]
