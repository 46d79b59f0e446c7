"""Makes the certificates and keys that the pages of the manual name."""

import subprocess
from pathlib import Path


class Pem:
    """A certificate of its own signing for api.example.com, and its key."""

    def __init__(self, folder: Path) -> None:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "90", "-subj", "/CN=api.example.com", "-addext", "subjectAltName=DNS:api.example.com",
             "-keyout", "key.pem", "-out", "certificate.pem"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        self.certificate = (folder / "certificate.pem").read_bytes()
        self.key = (folder / "key.pem").read_bytes()

    def put(self, file: Path) -> None:
        """Write one of them, as the name of the file has it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.key if "key" in file.name else self.certificate)
