"""Decides whether this instance may start: alone on its state directory and alone on its port.

The state directory's lock is inherited by every child, so it is free only when all of them are gone, or have stopped
accepting and finish what they have. A port is tried
without SO_REUSEPORT first, because with it a second instance would bind in silence and take half of the traffic.
"""

import contextlib
import errno
import fcntl
import glob
import hashlib
import os
import signal
import socket
import stat
import time

from .addresses import split_listen

ORPHANS_S = 10.0  # in which others that hold the lock of a supervisor that is gone may let it go
STUCK_S = 2.5  # after which its children are stuck: they let it go at once, or end
CHILDREN = {f"fastgw.{name}" for name in ("worker", "keeper", "probe", "draining")}
BACKLOG = 4096  # connections that wait for one worker, as far as net.core.somaxconn allows


class Occupied(Exception):
    """Somebody else has what this instance needs; the message says who."""


def lock_state(state_dir: str, note: str) -> int:
    """Lock `state_dir` (made if need be, mode 0700) for as long as the descriptor returned, or a copy, is open.

    The workers of a supervisor that was killed let it go when they have stopped accepting, and finish what they have in
    flight; its keeper when it has written what it has. One that does neither is killed, which money survives.
    Raises Occupied, naming the holder, or OSError.
    """
    path = os.path.join(state_dir, "lock")
    try:
        os.makedirs(state_dir, mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        rule = f"it must be a folder that user {os.getuid()} can write; make it one, or choose another --state-dir"
        raise OSError(f"the state directory {state_dir} cannot be used ({error.strerror}): {rule}") from None
    started = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            written = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            holders = holders_of({os.path.realpath(path)}, besides=os.getpid())
            orphaned = not any(written.startswith(f"process {pid} ") for pid in holders)
            if not holders:  # they are another user's, or have ended just now
                noted = written.split()[1:2]
                orphaned = not noted or not os.path.exists(f"/proc/{noted[0]}")
            if orphaned and time.monotonic() < started + ORPHANS_S:
                if time.monotonic() > started + STUCK_S:
                    _kill_children(holders)
                time.sleep(0.05)
                continue
            os.close(descriptor)
            if orphaned:
                whose = f"the children of {written or 'a gateway'}, which is gone"
                who = f"{whose} while they finish their calls: {describe(holders)}"
            else:
                who = written or describe(holders)
            raise Occupied(
                f"the state directory {state_dir} is in use by {who}: stop it, or give this one its own --state-dir"
            ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{note}\n".encode(), 0)
    return descriptor


def _kill_children(pids: list[int]) -> None:
    """Those that are a supervisor's children; nobody else."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            if CHILDREN & set(command_line(pid)):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)


def segment_path(segment_dir: str, state_dir: str) -> str:
    """Where the segment of a state directory lies."""
    name = hashlib.blake2b(os.path.realpath(state_dir).encode(), digest_size=6).hexdigest()
    return os.path.join(segment_dir, f"fastgw-{os.getuid()}-{name}")


def open_listeners(address: str, number: int, backlog: int) -> list[socket.socket]:
    """`number` listening sockets that share the address. Raises Occupied, or OSError when it cannot be bound."""
    host, port = split_listen(address)
    family = family_of(host)
    try:
        with _socket(family, host) as probe:
            probe.bind((host, port))
            # A bound socket that does not listen is no conflict for the ones below, which do share.
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            holder = port_holder(port)
            raise Occupied(f"{address} is in use by {holder}: stop it, or choose another address") from None
        raise OSError(f"cannot listen on {address}: {error.strerror}{_advice(error.errno, port)}") from None
    listeners = []
    for _ in range(number):
        listener = _socket(family, host)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(backlog)
        listeners.append(listener)
    return listeners


def _advice(number: int | None, port: int) -> str:
    """What helps where a port cannot be listened on."""
    if number == errno.EACCES:
        return (
            f"; a port below 1024 needs the capability CAP_NET_BIND_SERVICE, a socket of systemd, or the setting "
            f"net.ipv4.ip_unprivileged_port_start={port}"
        )
    if number == errno.EAFNOSUPPORT:
        return "; this machine has no IPv6"
    if number == errno.EADDRNOTAVAIL:
        return "; this machine has no such address"
    return ""


def open_unix_listener(path: str, backlog: int) -> socket.socket:
    """A listening Unix socket of the mode 0660, in place of one that a gateway which is gone has left behind.

    Raises Occupied, or OSError when it cannot be bound.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_left_behind(path):
            os.unlink(path)
        before = os.umask(0o117)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"cannot listen on {path}: a file is there that is no socket") from None
        raise OSError(f"cannot listen on {path}: {error.strerror}") from None
    except Occupied:
        listener.close()
        raise
    return listener


def _is_left_behind(path: str) -> bool:
    """Whether a Unix socket is there that nobody accepts on any more. Raises Occupied where somebody does."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        try:
            client.connect(path)
        except ConnectionRefusedError:
            return True
        except BlockingIOError:
            pass  # it lives: its queue is full
    raise Occupied(f"{path} is in use by another process: stop it, or choose another address")


def share_listener(listener: socket.socket) -> socket.socket:
    """Another socket of the same address, bound, and not listening yet. Raises OSError."""
    result = socket.socket(listener.family, socket.SOCK_STREAM)
    try:
        result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if listener.family == socket.AF_INET6:
            v6_only = listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            result.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6_only)
        result.bind(listener.getsockname())
    except OSError:
        result.close()
        raise
    return result


def _socket(family: socket.AddressFamily, host: str) -> socket.socket:
    result = socket.socket(family, socket.SOCK_STREAM)
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        result.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if host else 0)
    return result


def family_of(host: str) -> socket.AddressFamily:
    """Of a listening host without brackets; "", all interfaces, is IPv6 and IPv4 where the machine has both."""
    if ":" in host:
        return socket.AF_INET6
    return socket.AF_INET6 if not host and os.path.exists("/proc/net/if_inet6") else socket.AF_INET


def port_holder(port: int) -> str:
    """Who listens on a TCP port of this machine, as far as /proc tells."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        listening = (row for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port)
        inodes |= {f"socket:[{row[9]}]" for row in listening}
    return describe(holders_of(inodes)[:1])  # the eldest: the others are its children


def holders_of(files: set[str], besides: int = 0) -> list[int]:
    """Processes that have one of the files (paths, or "socket:[…]") open, as far as /proc tells; the eldest first."""
    pids = set()
    for link in glob.iglob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link) in files:
                pids.add(int(link.split("/")[2]))
        except OSError:
            continue
    return sorted(pids - {besides}, key=_started)


def command_line(pid: int) -> list[str]:
    """The arguments of a process, none when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def _started(pid: int) -> int:
    """When a process started, in ticks since the machine did."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except OSError:
        return 0


def describe(pids: list[int]) -> str:
    """The processes with their commands, for a message."""
    known = []
    for pid in pids:
        if words := command_line(pid):
            known.append(f"process {pid} ({' '.join(words)[:80]})")
    return ", ".join(known) or "another process"
