"""Decides what [[listeners]] and [[certificates]] may say, and which of the listeners cannot be side by side."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from .. import addresses
from ..model import Certificate, Listener, Problem
from .certificates import CertificateError, read_authorities, read_certificate
from .fields import Fields, Report, array_of_tables, one_of, parse_boolean, show
from .manual import CERTIFICATES, LISTENERS
from .toml_lines import Path

ARRAYS = ("listeners", "certificates")


class Front(Struct, frozen=True):
    """Where clients connect, that of `[server] listen` first, the certificates that they are shown, and the CAs of
    theirs."""

    listeners: tuple[Listener, ...]
    certificates: tuple[Certificate, ...]
    client_ca: str


def read_front(
    document: Mapping[str, Any], report: Report, server: Mapping[str, Any], origins: Mapping[str, str]
) -> Front:
    """The listeners and certificates of a document, problems going to `report`; `server` has settings by attribute,
    `origins` where each comes from."""
    of_listen = _certificate_of_listen(report, server, origins)
    certificates = [*of_listen] + [
        _certificate(report, index, raw) for index, raw in enumerate(array_of_tables(document, "certificates", report))
    ]
    written = array_of_tables(document, "listeners", report)
    listeners = [_listener(report, index, raw) for index, raw in enumerate(written)]
    for index, listener in enumerate(listeners):
        _refuse_untimely(report, index, listener, server, bool(certificates))
        _refuse_meeting(report, index, listeners, server)
    if certificates and not of_listen and not any(listener.tls for listener in listeners):
        report.refuse(("certificates", 0), "no listener shows it: none has tls = true")
    listen = server["listen_address"]
    simple = [Listener(listen, tls=bool(of_listen))] if listen else []
    return Front((*simple, *listeners), tuple(certificates), _client_ca(report, server, origins))


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
    for name in found:
        if fields.is_table and name not in fields.raw:
            report.refuse((*path, name), "is missing")
    if all(found.values()):
        try:
            return read_certificate(found["certificate"], found["key"])
        except CertificateError as error:
            report.refuse((*path, error.field), str(error), fields.raw[error.field])
    return Certificate(found["certificate"], found["key"])


def _certificate_of_listen(
    report: Report, server: Mapping[str, Any], origins: Mapping[str, str]
) -> tuple[Certificate, ...]:
    """The certificate that makes `listen` HTTPS, if there is one."""
    found = {field: server[f"tls_{field}"] for field in ("certificate", "key")}
    if not any(found.values()):
        return ()
    field, rule = next((field for field in found if found[field]), ""), ""
    if not server["listen_address"]:
        rule = "is for server.listen, which is off; [[certificates]] are for [[listeners]]"
    elif not all(found.values()):
        rule = f"needs server.tls_{'key' if field == 'certificate' else 'certificate'} beside it"
    else:
        try:
            return (read_certificate(**found),)
        except CertificateError as error:
            field, rule = error.field, str(error)
    _refuse_setting(report, f"tls_{field}", found[field], rule, origins)
    return (Certificate(**found),)


def _client_ca(report: Report, server: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """What the file of those who may issue certificates of clients holds."""
    file = server["client_ca"]
    try:
        return read_authorities(file) if file else ""
    except ValueError as error:
        _refuse_setting(report, "client_ca", file, str(error), origins)
        return ""


def _refuse_setting(report: Report, name: str, value: str, rule: str, origins: Mapping[str, str]) -> None:
    report.problems.append(Problem(origins[name], f"server.{name} = {show(value)}: {rule}"))


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
