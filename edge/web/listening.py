"""The socket that the page is served on."""

from __future__ import annotations

import contextlib
import socket

from edge.errors import EdgeError

_BACKLOG = 64
_SEND_BUFFER_BYTES = 1 << 17  # else the system holds megabytes, seconds of old pictures, for a slow viewer
_UNACKNOWLEDGED_MS = 20_000  # a peer that takes nothing for so long is gone


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: address or name of one of this machine's interfaces; 0.0.0.0 or :: for all.
        port: 0: any that is free.

    Raises:
        EdgeError: the port is taken or not allowed, or the address is none of this machine's.
    """
    where = f"port {port} of {host}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise EdgeError(
            f"{where}: expected an address of this machine; got: {error.strerror or error}; choose another with --host"
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a killed server's port is free at once
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        with contextlib.suppress(AttributeError, OSError):  # Linux only; accepted sockets inherit both
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise EdgeError(
            f"{where}: expected a free port of this machine; got: {reason}; choose another with --port or --host"
        ) from error
    return listener


def url_of(listener: socket.socket, host: str) -> str:
    """Return the page's address: as bound, by this machine's name where it listens on all interfaces."""
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host.strip("[]")
    return f"http://{f'[{name}]' if ':' in name else name}:{listener.getsockname()[1]}/"
