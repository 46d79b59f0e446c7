"""Decides what the admin API's token is: one line in the state directory, made once, readable by its owner alone."""

import os
import re
import secrets
import stat

NAME = "admin-token"
PREFIX = "fastgw_admin_"  # so that people and scanners know what they have found
_FORM = re.compile(r"[A-Za-z0-9._~+/-]{20,512}=*")  # token68, RFC 9110 §11.2, and long enough to be no password


def token_path(state_dir: str) -> str:
    """Where the token of a state directory lies."""
    return os.path.join(state_dir, NAME)


def admin_token(state_dir: str) -> str:
    """The token, made with mode 0600 where there is none.

    Raises OSError when it cannot be read or made, when others may read it, or when the file holds none.
    """
    path = token_path(state_dir)
    try:
        return read_token(path)
    except FileNotFoundError:
        _make(path)
        return read_token(path)


def read_token(path: str) -> str:
    """The token of a file. Raises OSError, saying what to do about it."""
    with open(path, encoding="ascii", errors="replace") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        text = file.read(1024).strip()
    if mode & 0o077:
        raise PermissionError(
            f"the admin token {path} has mode {mode:04o}, others may know it: "
            "remove the file, and another is made at the next start"
        )
    if not _FORM.fullmatch(text):
        raise OSError(f"{path} holds no token (20 to 512 letters, digits and -._~+/): remove it, and another is made")
    return text


def _make(path: str) -> None:
    """Whole or not at all, also when two start at once: the file gets its name when it is complete."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    unfinished = f"{path}.{secrets.token_hex(8)}"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            file.write(f"{PREFIX}{secrets.token_urlsafe(32)}\n")
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(unfinished, path)
        except FileExistsError:
            return  # another was quicker
    finally:
        os.unlink(unfinished)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
