"""Decides how the comparison looks: one SVG of horizontal bars, CPU µs per request, one panel per mode."""

from collections.abc import Mapping
from html import escape

from rounds import Cell

WIDTH = 860
LABEL_WIDTH = 204
VALUE_WIDTH = 150
BAR_HEIGHT = 20
BAR_GAP = 6
PANEL_GAP = 34
TITLES = {"402": "refuse: 402", "429": "refuse: 429", "401": "refuse: 401", "proxy": "check and forward"}
OURS, THEIRS, FLOOR = "#0b6e99", "#a9b8c3", "#dfe5e9"
TEXT, MUTED, GRID = "#1f2933", "#66727d", "#e8ecef"


def draw(cells: Mapping[tuple[str, str], Mapping[str, Cell]], titles: Mapping[str, str], column: str, note: str) -> str:
    """An SVG document. All panels share one scale, so that a bar in one can be compared with a bar in
    another."""
    panels = {
        mode: {peer: cell for peer, cell in by_peer.items() if cell.rounds}
        for (mode, of_column), by_peer in cells.items()
        if of_column == column
    }
    panels = {mode: bars for mode, bars in panels.items() if bars}
    longest = max((cell.cpu_us for bars in panels.values() for cell in bars.values()), default=1.0)
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000) if longest / s <= 8)
    body, y = [], 78
    for mode, bars in panels.items():
        body.append(_text(20, y, TITLES.get(mode, mode), weight=600))
        y += 12
        bottom = y + len(bars) * (BAR_HEIGHT + BAR_GAP)
        for tick in range(0, int(longest) + 1, step):
            x = LABEL_WIDTH + room * tick / longest
            body.append(f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
        for peer, cell in sorted(bars.items(), key=lambda item: item[1].cpu_us):
            colour = OURS if peer == "fastgw" else FLOOR if peer == "floor" else THEIRS
            length = room * cell.cpu_us / longest
            middle = y + BAR_HEIGHT / 2 + 4.5
            weight = 600 if peer == "fastgw" else 400
            body.append(_text(LABEL_WIDTH - 10, middle, titles.get(peer, peer), anchor="end", weight=weight))
            body.append(
                f'<rect x="{LABEL_WIDTH}" y="{y}" width="{length:.1f}" height="{BAR_HEIGHT}" rx="2" fill="{colour}"/>'
            )
            ratio = cell.ratio.get("nginx-lua")
            value = f"{cell.cpu_us:.1f} µs" + (f"  ({ratio:.2f} ×)" if ratio and peer != "nginx-lua" else "")
            body.append(_text(LABEL_WIDTH + length + 8, middle, value, weight=weight))
            y += BAR_HEIGHT + BAR_GAP
        y += PANEL_GAP
    foot = y - 6
    head = [
        _text(20, 30, "CPU per request, one worker each (shorter is better)", size=17, weight=600),
        _text(20, 50, f"{note}; × is the ratio to nginx + Lua within a round", size=12, colour=MUTED),
        _text(
            20,
            foot,
            f"lines every {step} µs, user + system time of all processes of a contender",
            size=11,
            colour=MUTED,
        ),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{foot + 16}"'
        f' viewBox="0 0 {WIDTH} {foot + 16}"'
        ' font-family="system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(head + body) + "\n</svg>\n"
    )


def _text(
    x: float,
    y: float,
    text: str,
    size: int = 13,
    weight: int = 400,
    anchor: str = "start",
    colour: str = TEXT,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
        f' fill="{colour}">{escape(text)}</text>'
    )
