"""Decides who is who in the tests of TLS: an authority made for the run, and what it, or nobody, has signed."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

LISTENER = '[[listeners]]\naddress = "127.0.0.1:1"\ntls = true\n'  # a test's host has the socket from elsewhere


class Identity:
    """A certificate and its key, as PEM files in a directory."""

    def __init__(self, issued: trustme.LeafCert, directory: Path, name: str) -> None:
        self.issued = issued
        self.certificate = directory / f"{name}.crt"
        self.key = directory / f"{name}.key"
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())
        self.key.chmod(0o600)
        self.entry = f'[[certificates]]\ncertificate = "{self.certificate}"\nkey = "{self.key}"\n'  # of a configuration


class Authority:
    """A certificate authority; `file` is its certificate, to be trusted or not."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.file = directory / f"{name}.crt"
        self.authority.cert_pem.write_to_path(str(self.file))
        self._issued = 0

    def issue(self, *names: str, common_name: str | None = None) -> Identity:
        """A certificate for these host names and addresses."""
        self._issued += 1
        name = f"{self.file.stem}-{self._issued}"
        return Identity(self.authority.issue_cert(*names, common_name=common_name), self.directory, name)

    def issue_uri(self, uri: str) -> Identity:
        """A certificate for a URI."""
        ca = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())
        ca_key = load_pem_private_key(self.authority.private_key_pem.bytes(), None)
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder(ca.subject, x509.Name([]), key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
            .sign(ca_key, hashes.SHA256())
        )
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._issued += 1
        issued = trustme.LeafCert(secret, made.public_bytes(Encoding.PEM), [])
        return Identity(issued, self.directory, f"{self.file.stem}-{self._issued}")

    def server(self, identity: Identity, client_ca: Authority | None = None) -> ssl.SSLContext:
        """The context of a server that is `identity`, and asks for client certificates of `client_ca`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        identity.issued.configure_cert(context)
        if client_ca is not None:
            client_ca.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, identity: Identity | None = None) -> ssl.SSLContext:
        """The context of a client that trusts this authority, and is `identity`."""
        context = ssl.create_default_context(cafile=str(self.file))
        if identity is not None:
            identity.issued.configure_cert(context)
        return context
