"""Decides how a request to AWS is signed: Signature Version 4, by botocore, which `fastgw[bedrock]` installs."""

from __future__ import annotations

from importlib.util import find_spec

SERVICE = "bedrock"


def available() -> bool:
    """Whether requests can be signed here."""
    return find_spec("botocore") is not None


class Signer:
    """Signs with one key, "ID:SECRET" or "ID:SECRET:TOKEN". To make one imports botocore, which takes half a second:
    that is for the beginning. ValueError: the key is none of these."""

    def __init__(self, key: str, region: str) -> None:
        from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
        from botocore.credentials import Credentials  # type: ignore[import-untyped]

        parts = key.split(":")
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError("a key of AWS is ID:SECRET or ID:SECRET:TOKEN")
        self._auth = SigV4Auth(Credentials(*parts), SERVICE, region)
        self._request = AWSRequest

    def fields(self, host: str, path: str, body: bytes, content_type: str = "application/json") -> bytes:
        """The lines of a POST's head that sign it: of these headers and that body, for some minutes."""
        headers = {"Host": host, "Content-Type": content_type}
        request = self._request(method="POST", url=f"https://{host}{path}", data=body, headers=headers)
        self._auth.add_auth(request)
        signed = (name for name in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token") if name in request.headers)
        return "".join(f"{name}: {request.headers[name]}\r\n" for name in signed).encode("latin-1")
