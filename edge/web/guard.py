"""Who may ask: Host against DNS rebinding, Origin and Sec-Fetch-Site against other pages, a token against the network.

A page of another site can make a browser send requests here. It cannot choose the Host header (its own name stays in
it, even when that name is turned to this machine's address), nor Origin, nor Sec-Fetch-Site.

Sources: Fetch, section 3.2 (Origin); W3C Fetch Metadata Request Headers; RFC 6265bis (SameSite); RFC 6750 (Bearer).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

OPEN_PATHS = ("/healthz",)  # answered without the token: they say nothing of what is seen
SHORTEST_TOKEN = 16

# On every answer. Nothing but this page's own files is loaded, nobody may frame it, nothing is stored.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
    "Server": "fer-edge",
}


@dataclass(frozen=True)
class Ask:
    """What a request says about where it comes from; "" where it does not say."""

    method: str
    path: str
    host: str = ""
    origin: str = ""
    fetch_site: str = ""
    fetch_mode: str = ""
    authorization: str = ""
    cookie: str = ""
    query_token: str = ""


@dataclass(frozen=True)
class Refusal:
    """An HTTP status and one line of text."""

    status: int
    text: str


@dataclass(frozen=True)
class Guard:
    """Decides which requests are answered.

    Attributes:
        names: host names that may stand in the Host header, lower case, without a port.
        any_address: whether every IP address may, not those of this machine to itself alone. An address in the Host
            header is never the name of a foreign page.
        token: None: none is asked for.
    """

    names: frozenset[str]
    any_address: bool
    token: str | None = None

    def refusal(self, ask: Ask) -> Refusal | None:
        """Return why a request is not answered, or None."""
        if not self.host_is_ours(ask.host):
            return Refusal(403, "expected this server's own name in the Host header; got another; see --allow-host")
        if not _is_own_page(ask):
            return Refusal(403, "expected a request of this page; got one of another site; open the page itself")
        if ask.path not in OPEN_PATHS and not self.knows_token(ask):
            return Refusal(401, "expected the token; got none or another; open the address that fer-edge printed")
        return None

    def host_is_ours(self, host: str) -> bool:
        """Return whether a Host header names this server; the port may be another one (ssh -L)."""
        name = _host_name(host)
        if name is None:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return self.any_address or address.is_loopback

    def knows_token(self, ask: Ask) -> bool:
        """Return whether a request carries the token: as a query, as its cookie, or as a bearer's."""
        if self.token is None:
            return True
        scheme, _, bearer = ask.authorization.partition(" ")
        given = (
            _same(bearer.strip(), self.token) & (scheme.lower() == "bearer"),
            _same(ask.query_token, self.token),
            _same(ask.cookie, self.cookie),
        )
        return any(given)

    @property
    def cookie(self) -> str:
        """Return what the cookie holds: it lasts as long as the token, and does not tell it."""
        return hmac.new((self.token or "").encode(), b"fer-edge cookie", hashlib.sha256).hexdigest()


def own_names(bound_to: str, machine: str, more: Iterable[str] = ()) -> frozenset[str]:
    """Return the names by which a server may be called.

    Args:
        bound_to: the address or name that it listens on.
        machine: this machine's name.
        more: names that the user allows.
    """
    names = {"localhost", *more}
    if not is_loopback(bound_to):
        names |= {bound_to, machine, f"{machine.partition('.')[0]}.local"}
    return frozenset(name.lower().rstrip(".") for name in names if name)


def cookie_name(host: str) -> str:
    """Return the cookie's name for a Host header: cookies are shared by a machine's ports, so the port stands in it."""
    parts = _host_parts(host)
    return f"fer_edge_{(None if parts is None else parts.port) or 80}"


def is_loopback(host: str) -> bool:
    """Return whether an address or name to listen on is this machine's to itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def checked_token(token: str) -> str:
    """Return a token that the user gave.

    Raises:
        ValueError: it is short, or holds what a header or an address cannot.
    """
    if len(token) < SHORTEST_TOKEN or not all(sign.isascii() and (sign.isalnum() or sign in "-._~") for sign in token):
        raise ValueError(
            f"expected a token of {SHORTEST_TOKEN} or more letters, digits and -._~; got {len(token)} signs; leave it "
            "out and one is made"
        )
    return token


def _is_own_page(ask: Ask) -> bool:
    """Return whether no page of another site sent the request, as far as its browser says."""
    opened = ask.method == "GET" and ask.path == "/" and ask.fetch_mode in ("", "navigate")  # a link was followed
    if ask.fetch_site not in ("", "same-origin", "none") and not opened:
        return False
    if ask.method in ("GET", "HEAD") or not ask.origin:  # a program sends no Origin; a browser always does
        return True
    try:
        parts = urlsplit(ask.origin)
    except ValueError:  # no address, so not ours
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == ask.host.lower()


def _host_name(host: str) -> str | None:
    """Return the name or address in a Host header, lower case, without port and brackets; None: it is no host."""
    parts = _host_parts(host)
    if parts is None or parts.netloc != host or not parts.hostname or "@" in host:
        return None
    return parts.hostname.rstrip(".")


def _host_parts(host: str) -> SplitResult | None:
    """Return the parts of a Host header, among them a port of 0..65535 or none; None: it cannot be split."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is no such number
    except ValueError:
        return None
    return parts


def _same(given: str, expected: str) -> bool:
    """Return whether two texts are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
