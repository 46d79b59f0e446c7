"""Decides what `fastgw check` prints about a configuration that is right."""

from ..settings import BY_NAME, GROUPS, SETTINGS, Server, Setting
from .load import Loaded
from .record_files import Counts

RESTART = "(restart)"


def ok_line(loaded: Loaded, counts: Counts) -> str:
    """ "OK: 1 upstream, 2 routes, 1 account, 1 key", the records of files included."""
    config = loaded.config
    parts = (
        *((_count(len(config.listeners), "listener"),) if len(config.listeners) > 1 else ()),
        _count(len(config.upstreams) - len(config.providers), "upstream"),
        *((_count(len(config.providers), "provider"),) if config.providers else ()),
        *((_count(len(config.models), "model"),) if config.models else ()),
        _count(len({route.name for route in config.routes if not route.prompt}), "route"),
        *((_count(len({prompt.name for prompt in config.prompts}), "prompt"),) if config.prompts else ()),
        _count(counts.accounts, "account"),
        _count(counts.keys, "key"),
        *((_count(len(config.plans), "plan"),) if config.plans else ()),
    )
    return "OK: " + ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def settings_lines(loaded: Loaded) -> list[str]:
    """One line per setting under its group: name, effective value, where it came from, if a change needs a restart."""
    rows = [(row.group, row.name, _shown(row, loaded.config.server)) for row in SETTINGS]
    name_width = max(len(name) for _, name, _ in rows)
    value_width = max(len(value) for _, _, value in rows)
    lines: list[str] = []
    for group in GROUPS:
        lines.append(f"{group}:")
        for of, name, value in rows:
            if of == group:
                mark = "" if BY_NAME[name].reloadable else f"  {RESTART}"
                lines.append(f"  {name:<{name_width}}  {value:<{value_width}}  {loaded.origins[name]}{mark}")
    return [*lines, f"A reload changes all but those marked {RESTART}, which need one."]


def _shown(row: Setting, server: Server) -> str:
    value = getattr(server, row.attribute)
    text = row.show(value)
    if value == 0 and row.zero:
        text += f" ({row.zero})"
    return text or '""'
