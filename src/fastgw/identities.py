"""Decides by which texts a client certificate is a key: texts that no field of a request can carry.

Each begins with a control byte, which RFC 9110 §5.5 forbids in a value, and by which the key is another than any that
is presented in a header. What kind of name it is follows, so that one kind cannot be taken for another.
"""

import hashlib
import re
from typing import Any

MARK = "\x01"
RULE = (
    'must be "sha256:" and the fingerprint of a certificate in hexadecimal, or one of its alternative names: '
    "a host name, a URI or an e-mail address"
)
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_HOST = re.compile(r"(?:\*\.)?(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]{1,2000}")
_EMAIL = re.compile(r"[!-9;-?A-~]{1,64}@[a-z0-9.-]{1,253}")
_KINDS = {"DNS": "dns", "URI": "uri", "email": "email"}  # as the ssl module has them


def of_text(value: object) -> str:
    """The text of the key that is written down as `value`. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(RULE)
    if value[:7].lower() == "sha256:":
        digits = value[7:].replace(":", "").lower()
        if _FINGERPRINT.fullmatch(digits):
            return f"{MARK}sha256:{digits}"
    else:
        for kind, form in (("email", _EMAIL), ("dns", _HOST), ("uri", _URI)):
            text = _normal(kind, value)
            if form.fullmatch(text):
                return f"{MARK}{kind}:{text}"
    raise ValueError(RULE)


def of_session(session: Any) -> tuple[bytes, ...]:
    """The texts of the keys that the client of a TLS session may be, the most exact one first; none without a
    certificate, which has been verified if there is one."""
    certificate = session.getpeercert(True)
    if not certificate:
        return ()
    texts = [f"{MARK}sha256:{hashlib.sha256(certificate).hexdigest()}"]
    for kind, value in _alternative_names(session):
        if kind in _KINDS:
            texts.append(f"{MARK}{_KINDS[kind]}:{_normal(_KINDS[kind], value)}")
    return tuple(text.encode() for text in texts)


def _alternative_names(session: Any) -> tuple[tuple[str, str], ...]:
    try:
        names: tuple[tuple[str, str], ...] = session.getpeercert().get("subjectAltName", ())
    except ValueError:  # names that are no text
        return ()
    return names


def _normal(kind: str, value: str) -> str:
    """A name as it is compared: host names regardless of case."""
    if kind == "dns":
        return value.lower()
    if kind == "email":
        local, at, host = value.rpartition("@")
        return f"{local}{at}{host.lower()}"
    return value
