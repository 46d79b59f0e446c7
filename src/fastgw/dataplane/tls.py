"""Decides what of TLS is spoken with clients, which certificate they are shown, and who they are by their own.

TLS 1.2 and 1.3 with what OpenSSL thinks right today, HTTP/1.1 alone, no renegotiation. Sessions are resumed by tickets,
of which each worker has keys of its own: the ssl module cannot share them.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from ..model import Certificate, Config
from ..pem import load_pem

VERIFY = {"off": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class Contexts:
    """The contexts that listeners need, `by_kind`: the word of their client_certificates. Each of them hands over to
    those of other names by itself.

    Where nothing has changed those of `former` stay, for with a context go the tickets that it has given out. Raises
    ssl.SSLError, which no configuration that was read does.
    """

    def __init__(self, config: Config, former: Contexts | None = None) -> None:
        self.source = (config.listeners, config.certificates, config.client_ca)
        self.by_kind: dict[str, ssl.SSLContext] = {}
        if former is not None and former.source == self.source:
            self.by_kind = former.by_kind
        elif config.certificates:
            kinds = {listener.client_certificates for listener in config.listeners if listener.tls}
            self.by_kind = {kind: _context(config, kind) for kind in sorted(kinds)}


def _context(config: Config, kind: str) -> ssl.SSLContext:
    made = [(certificate.names, _of_one(config, certificate, kind)) for certificate in config.certificates]
    first = made[0][1]
    if len(made) > 1:
        first.sni_callback = _chooser({name: context for names, context in reversed(made) for name in names})
    return first


def _of_one(config: Config, certificate: Certificate, kind: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    context.verify_mode = VERIFY[kind]
    if kind != "off":
        context.load_verify_locations(cadata=config.client_ca)
    load_pem(context, certificate.pem.reveal())
    return context


def _chooser(by_name: dict[str, ssl.SSLContext]) -> Callable[[Any, str | None, ssl.SSLContext], None]:
    """Go on with the certificate of the name that is asked for, exactly or by the wildcard of one label (RFC 6125
    §6.4.3); with the first one when none has it."""

    def choose(session: Any, name: str | None, _: ssl.SSLContext) -> None:
        if name:
            name = name.lower()
            context = by_name.get(name) or by_name.get(f"*.{name.partition('.')[2]}")
            if context is not None:
                session.context = context

    return choose
