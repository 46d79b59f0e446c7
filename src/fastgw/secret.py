"""Decides the secret of the keys' digests: made once for a state directory, and kept for as long as its ledger.

Without it nobody can tell from a stolen segment or ledger which keys there are, not even by trying likely ones. With
another one, every key would be unknown.
"""

import contextlib
import os
import secrets
import stat

SECRET_BYTES = 32


class SecretError(Exception):
    """There is a secret, and it cannot be used; the message says what to do."""


def read_secret(state_dir: str) -> bytes:
    """The 32 bytes of `secret` in an existing state directory; made, mode 0600, when the file is not there.

    It appears whole or not at all, on the disk too, and whoever makes it at the same time gets the same. Raises
    SecretError, or OSError when it cannot be written.
    """
    path = os.path.join(state_dir, "secret")
    try:
        return _read(path)
    except FileNotFoundError:
        _make(state_dir, path)
        return _read(path)


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SecretError(f"cannot read {path}: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretError(f"{path} is no file")
        if status.st_mode & 0o077:
            raise SecretError(f"{path} is open to other users: chmod 600 it, if nobody can have read it")
        secret = file.read(SECRET_BYTES + 1)
    if len(secret) != SECRET_BYTES:
        raise SecretError(
            f"{path} has {status.st_size} bytes instead of {SECRET_BYTES}: bring it back from a copy; if there is "
            "none, remove it, and every key made by the API must be made anew"
        )
    return secret


def _make(state_dir: str, path: str) -> None:
    unfinished = f"{path}.{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):  # of a process of this number that was killed right here
        os.unlink(unfinished)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):  # somebody was quicker: theirs counts
            os.link(unfinished, path)
    finally:
        os.unlink(unfinished)
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
