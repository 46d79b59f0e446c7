"""Decides whether a certificate and its key can be shown to clients, for which names, and what to be warned of.

What the files hold is read here, once: workers are given that, so that all of them show the same, and a certificate
that was renewed is another configuration even where no line of the file has changed.
"""

import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ..model import Certificate, Secret
from ..pem import load_pem

DAY_S = 86_400
SOON_S = 14 * DAY_S  # before its end, a certificate that nobody has renewed is worth a warning
_REASONS = {
    "KEY_VALUES_MISMATCH": "does not belong to the certificate, which must be the first one of its file",
    "KEY_TYPE_MISMATCH": "does not belong to the certificate, which must be the first one of its file",
    "EE_KEY_TOO_SMALL": "is too short to be safe",
    "CA_MD_TOO_WEAK": "belongs to a chain with a signature that is too weak to be safe",
}


class CertificateError(ValueError):
    """It cannot be shown; `field` says which of the two files is to blame, "certificate" or "key"."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(rule)
        self.field = field


def read_certificate(certificate: str, key: str) -> Certificate:
    """What the two files hold, checked: the chain, and that the key is its own. Raises CertificateError."""
    chain, secret = _text("certificate", certificate), _text("key", key)
    leaf = _leaf(chain)
    if "-----BEGIN ENCRYPTED PRIVATE KEY-----" in secret or "Proc-Type: 4,ENCRYPTED" in secret:
        raise CertificateError("key", "is encrypted, and there is nobody to ask for its passphrase")
    if "PRIVATE KEY-----" not in secret:
        raise CertificateError("key", "holds no private key in PEM")
    pem = f"{chain}\n{secret}" if chain != secret else chain
    try:
        load_pem(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pem)
    except ssl.SSLError as error:
        raise CertificateError("key", _REASONS.get(error.reason, f"cannot be used: {error.reason}")) from None
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    return Certificate(certificate, key, Secret(pem), _names(leaf), int(begins.timestamp()), int(ends.timestamp()))


def read_authorities(file: str) -> str:
    """What a file of CAs' certificates holds, which must be at least one. Raises ValueError."""
    text = _text("certificate", file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
    except ssl.SSLError:
        raise ValueError("holds no certificates in PEM") from None
    return text


def _text(field: str, file: str) -> str:
    try:
        with open(file, encoding="ascii", errors="replace") as opened:
            return opened.read()
    except OSError as error:
        raise CertificateError(field, f"cannot be read: {error.strerror}") from None


def _leaf(chain: str) -> Any:
    """The first certificate of a chain; the others must be readable, too."""
    from cryptography import x509  # only where there is a certificate to be read

    try:
        return x509.load_pem_x509_certificates(chain.encode())[0]
    except ValueError:
        raise CertificateError("certificate", "holds no certificate in PEM") from None


def _names(leaf: Any) -> tuple[str, ...]:
    """DNS names and addresses of a certificate in lower case, or, without any, its common name (RFC 6125 §6.4.4)."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [
            *alternatives.get_values_for_type(x509.DNSName),
            *map(str, alternatives.get_values_for_type(x509.IPAddress)),
        ]
    except (x509.ExtensionNotFound, ValueError):
        found = []
    if not found:
        found = [str(attribute.value) for attribute in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return tuple(dict.fromkeys(name.lower() for name in found))


def described(certificate: Certificate) -> str:
    """ "fullchain.pem: example.com, *.example.com, until 2027-01-31"."""
    names = ", ".join(certificate.names) or "no name"
    return f"{certificate.certificate}: {names}, until {_day(certificate.ends_s)}"


def warnings(certificates: Iterable[Certificate], now_s: float) -> list[str]:
    """A line for each certificate that clients refuse now, or soon will."""
    found = []
    for certificate in certificates:
        if certificate.ends_s <= now_s:
            what = f"has expired on {_day(certificate.ends_s)}: clients refuse it"
        elif certificate.begins_s > now_s:
            what = f"is not valid before {_day(certificate.begins_s)}: clients refuse it"
        elif certificate.ends_s < now_s + SOON_S:
            days = int((certificate.ends_s - now_s) // DAY_S)
            what = f"expires in {days} day{'' if days == 1 else 's'}, on {_day(certificate.ends_s)}: renew it"
        elif not certificate.names:
            what = "is for no name: clients refuse it"
        else:
            continue
        found.append(f"{certificate.certificate}: the certificate {what}")
    return found


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
