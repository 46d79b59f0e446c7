"""Decides which addresses a name has by the machine's own table, /etc/hosts, read again whenever it has changed."""

import os
from ipaddress import ip_address

HOSTS = "/etc/hosts"
_LOCAL = ("::1", "127.0.0.1")  # of localhost, where the table does not say otherwise (RFC 6761 §6.3)


class Hosts:
    """The table of a file; a file that cannot be read has nobody in it."""

    def __init__(self, path: str = HOSTS) -> None:
        self.path = path
        self._print: tuple[int, int, int] | None = None
        self._table: dict[str, list[str]] = {}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Those of a name in lower case; () for one that is not there."""
        self._refresh()
        found = tuple(self._table.get(name, ()))
        is_local = name == "localhost" or name.endswith(".localhost")
        return found or (_LOCAL if is_local else ())

    def _refresh(self) -> None:
        try:
            status = os.stat(self.path)
            now = (status.st_mtime_ns, status.st_ino, status.st_size)
            if now != self._print:
                with open(self.path, encoding="utf-8", errors="replace") as file:
                    self._table = _parse(file.read())
                self._print = now
        except OSError:
            self._table, self._print = {}, None


def _parse(text: str) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            address = str(ip_address(address))
        except ValueError:
            continue
        for name in names:
            known = table.setdefault(name.lower().removesuffix("."), [])
            if address not in known:
                known.append(address)
    return table
