"""Decides whom the gateway believes to be an HTTPS upstream, and what it shows of itself: the TLS of its own calls."""

from __future__ import annotations

import hashlib
import os
import ssl

from .model import UpstreamTls

ALPN = ["http/1.1"]
_CERTIFICATE, _KEY, _CA = "certificate", "key", "ca"


class TlsFileError(ValueError):
    """What the files of an `UpstreamTls` hold is of no use; `field` is its field that is to blame."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(rule)
        self.field = field


def files(tls: UpstreamTls) -> tuple[str, ...]:
    """The files that it is read from."""
    return tuple(path for path in (tls.ca, tls.certificate, tls.key) if path)


def stamp(tls: UpstreamTls) -> str:
    """What tells one state of its files from another; "" without any. Raises `TlsFileError`."""
    if not files(tls):
        return ""
    digest = hashlib.blake2b(digest_size=8)
    for field in (_CA, _CERTIFICATE, _KEY):
        if path := getattr(tls, field):
            digest.update(_read(field, path))
    return digest.hexdigest()


def context(tls: UpstreamTls) -> ssl.SSLContext:
    """TLS 1.2 or later, as a client that verifies by `tls`, for HTTP/1.1. Raises `TlsFileError`."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(ALPN)
    if not tls.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    elif tls.ca:
        _trust(made, tls.ca)
    else:
        _trust_the_system(made)
    if tls.certificate:
        _present(made, tls.certificate, tls.key)
    return made


def _read(field: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise TlsFileError(field, f"cannot be read: {error.strerror}") from None


def _trust(made: ssl.SSLContext, ca: str) -> None:
    text = _read(_CA, ca).decode("ascii", "replace")
    try:
        made.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        raise TlsFileError(_CA, "holds no certificates in PEM form") from None


def _trust_the_system(made: ssl.SSLContext) -> None:
    made.load_default_certs(ssl.Purpose.SERVER_AUTH)
    paths = ssl.get_default_verify_paths()
    if made.cert_store_stats()["x509_ca"] == 0 and not (paths.capath and os.listdir(paths.capath)):
        rule = "is needed to verify HTTPS targets: this machine has no CA certificates (package ca-certificates)"
        raise TlsFileError(_CA, rule)


def _present(made: ssl.SSLContext, certificate: str, key: str) -> None:
    for field, path in ((_CERTIFICATE, certificate), (_KEY, key)):
        _read(field, path)
    asked = []

    def password() -> str:
        asked.append(True)
        return ""

    try:
        made.load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        if asked:
            raise TlsFileError(_KEY, "is encrypted, and there is nobody to ask for its passphrase") from None
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsFileError(_KEY, "is not the key of the certificate") from None
        if b"BEGIN CERTIFICATE" not in _read(_CERTIFICATE, certificate):
            raise TlsFileError(_CERTIFICATE, "holds no certificate in PEM form") from None
        raise TlsFileError(_KEY, f"does not go with the certificate, or is no private key: {error.reason}") from None
