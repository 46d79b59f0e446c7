"""Decides what [[listeners]] and [[certificates]] may say, and which of the listeners cannot be side by side."""

import os
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from .. import addresses
from ..model import Certificate, Listener
from .fields import Fields, Report, array_of_tables, one_of, parse_boolean, show
from .manual import CERTIFICATES, LISTENERS
from .toml_lines import Path

ARRAYS = ("listeners", "certificates")


class Front(Struct, frozen=True):
    """Where clients connect, that of `[server] listen` first, and the certificates that they are shown."""

    listeners: tuple[Listener, ...]
    certificates: tuple[Certificate, ...]


def read_front(document: Mapping[str, Any], report: Report, server: Mapping[str, Any]) -> Front:
    """The listeners and certificates of a document, problems going to `report`; `server` has settings by attribute."""
    certificates = tuple(
        _certificate(report, index, raw) for index, raw in enumerate(array_of_tables(document, "certificates", report))
    )
    written = array_of_tables(document, "listeners", report)
    listeners = [_listener(report, index, raw) for index, raw in enumerate(written)]
    for index, listener in enumerate(listeners):
        _refuse_untimely(report, index, listener, server, bool(certificates))
        _refuse_meeting(report, index, listeners, server)
    if certificates and not any(listener.tls for listener in listeners):
        report.refuse(("certificates", 0), "no listener shows it: none has tls = true")
    listen = server["listen_address"]
    simple = [Listener(listen)] if listen else []
    return Front((*simple, *listeners), certificates)


def _listener(report: Report, index: int, raw: Any) -> Listener:
    fields = Fields(report, ("listeners", index), raw, LISTENERS.names)
    return Listener(
        address=fields.require("address", addresses.parse_door, ""),
        tls=fields.take("tls", parse_boolean, False),
        proxy_protocol=fields.take("proxy_protocol", parse_boolean, False),
        client_certificates=fields.take("client_certificates", one_of("off", "optional", "required"), "off"),
    )


def _certificate(report: Report, index: int, raw: Any) -> Certificate:
    path: Path = ("certificates", index)
    fields = Fields(report, path, raw, CERTIFICATES.names)
    found = {name: fields.file(name) for name in CERTIFICATES.names}
    for name, file in found.items():
        if fields.is_table and name not in fields.raw:
            report.refuse((*path, name), "is missing")
        elif file and not (os.path.isfile(file) and os.access(file, os.R_OK)):
            report.refuse((*path, name), "is not a file that can be read", fields.raw[name])
    return Certificate(**found)


def _refuse_untimely(
    report: Report, index: int, listener: Listener, server: Mapping[str, Any], has_certificate: bool
) -> None:
    """What a listener needs besides, and is not there."""
    path: Path = ("listeners", index)
    if listener.tls and not has_certificate:
        report.refuse((*path, "tls"), "needs a certificate, in [[certificates]]", True)
    if listener.client_certificates != "off":
        name, rule = "client_certificates", ""
        if not listener.tls:
            rule = "needs tls = true"
        elif not server["client_ca"]:
            rule = "needs server.client_ca, the file of who may issue them"
        if rule:
            report.refuse((*path, name), rule, listener.client_certificates)
    if listener.proxy_protocol and addresses.is_port(listener.address) and not server["trusted_proxies"]:
        rule = "needs server.trusted_proxies: whose word it is that counts"
        report.refuse((*path, "proxy_protocol"), rule, True)


def _refuse_meeting(report: Report, index: int, listeners: list[Listener], server: Mapping[str, Any]) -> None:
    """Refuse a listener that cannot be beside one that was named before it."""
    address = listeners[index].address
    others = [(f"server.{name}", server[f"{name}_address"]) for name in ("listen", "admin")]
    others += [(f"listeners[{before}].address", listeners[before].address) for before in range(index)]
    for name, other in others:
        if address and other and addresses.overlap(address, other):
            meets = f"meets {name} = {show(other)} on one port" if addresses.is_port(address) else f"is {name} too"
            report.refuse(("listeners", index, "address"), meets, address)
            return
