"""Decides where a command finds the gateway's admin API, and the token for it."""

import os
import re
from collections.abc import Mapping

from msgspec import Struct

from .. import addresses
from ..config.load import read_settings
from .outcome import Unreachable

TOKEN_FILE = "admin-token"  # in the state directory, made by the gateway at its first start
TOKEN_VARIABLE = "FASTGW_ADMIN_TOKEN"

_TOKEN = re.compile(r"[!-~]{1,512}")


class Place(Struct, frozen=True):
    """`url` without a final slash, the token, and in words where both are from; the token never shows itself."""

    url: str
    token: str
    address_origin: str
    token_origin: str

    def __repr__(self) -> str:
        return f"Place({self.url!r}, from {self.address_origin!r}, token of {self.token_origin!r})"


def find_place(config_file: str | None, admin: str | None, state_dir: str | None, environ: Mapping[str, str]) -> Place:
    """The place that a file, flags and the environment name, read as `fastgw serve` reads them.

    `admin` may be a URL too, for a gateway behind another server. Raises ConfigError, or Unreachable where there is
    no admin API or no token.
    """
    url = (admin or "").rstrip("/")
    is_url = url.startswith(("http://", "https://"))
    flags = {"admin": None if is_url else admin, "state_dir": state_dir}
    values, origins = read_settings(("admin", "state_dir"), config_file, flags, environ)
    origin = "--admin" if is_url else origins["admin"]
    if not is_url:
        if not values["admin_address"]:
            raise Unreachable(f"the gateway has no admin address: it is off ({origins['admin']})")
        url = url_of(values["admin_address"])
    if token := environ.get(TOKEN_VARIABLE):
        return Place(url, _checked(token, TOKEN_VARIABLE), origin, TOKEN_VARIABLE)
    path = os.path.join(values["state_dir"], TOKEN_FILE)
    return Place(url, _read_token(path, origins["state_dir"]), origin, path)


def url_of(listen_address: str) -> str:
    """Where a client of this machine reaches a listening address."""
    host, port = addresses.split_listen(listen_address)
    local = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{addresses.join_listen(local, port)}"


def _read_token(path: str, origin: str) -> str:
    advice = f"Say where the gateway keeps its state: -c FILE, --state-dir DIR, or its token in {TOKEN_VARIABLE}."
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return _checked(file.read(1024).strip(), path)
    except FileNotFoundError:
        raise Unreachable(
            f"there is no token {path} (state_dir: {origin}): no gateway was started there. {advice}"
        ) from None
    except OSError as error:
        raise Unreachable(
            f"the token {path} cannot be read: {error.strerror}. Only the user that runs the gateway can. {advice}"
        ) from None


def _checked(token: str, origin: str) -> str:
    if _TOKEN.fullmatch(token):
        return token
    raise Unreachable(f"{origin} holds no token")
