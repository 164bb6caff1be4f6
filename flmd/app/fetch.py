"""Fetching a picture from an address that a stranger typed: nothing but public servers, nothing without end.

A name is resolved once, all its addresses are checked, and the connection goes to a checked address: a name
that points elsewhere a moment later (DNS rebinding) changes nothing. Each redirect is checked like a new
address. Proxies named in the environment are not used, since a proxy resolves names itself.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Url, parse_url

from flmd.app import addresses
from flmd.app.addresses import Address
from flmd.app.clock import Clock
from flmd.app.kinds import KINDS, kind_of
from flmd.errors import InputError

PORTS = {"http": 80, "https": 443}
ALLOWED_PORTS = frozenset({80, 443, 8080, 8443})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CHUNK = 1 << 16
MAX_URL = 4096


@dataclass(frozen=True)
class FetchLimits:
    """What a fetch may cost.

    Attributes
    ----------
    seconds : from the first look-up to the last byte, redirects included.
    max_bytes : of the body.
    redirects : how many are followed.
    allow_private : private and loopback addresses, and any port, are allowed; for tests and closed networks.
    """

    seconds: float = 10.0
    max_bytes: int = 20 << 20
    redirects: int = 5
    allow_private: bool = False


class FetchError(InputError):
    """A picture that was not fetched.

    Attributes
    ----------
    reason : "address" (it makes no sense or is not allowed), "refused" (not a public server), "no_answer",
        "too_slow", "too_large", "redirects", "status" (the server says no), "truncated" or "not_a_picture".
    """

    def __init__(self, reason: str, what: str, *, hint: str | None = None) -> None:
        self.reason = reason
        super().__init__(what, hint=hint)


def fetch_picture(url: str, limits: FetchLimits | None = None) -> bytes:
    """The bytes of the picture at an http or https address.

    Parameters
    ----------
    url : absolute, without user name and password; the port is one of ALLOWED_PORTS.

    Returns
    -------
    The body as sent, not longer than ``limits.max_bytes``, beginning like one of ``KINDS``. Whether it
    decodes is not checked.

    Raises
    ------
    FetchError : for every way this can fail; its text is fit for the person who typed the address.
    """
    limits = limits or FetchLimits()
    with Clock(limits.seconds) as clock:
        target = _checked(url.strip(), limits)
        for _ in range(limits.redirects + 1):
            answer = _get(target, limits, clock)
            if isinstance(answer, bytes):
                return answer
            target = _checked(_joined(target, answer), limits)
    raise FetchError("redirects", f"the address leads on and on, more than {limits.redirects} times")


def _checked(url: str, limits: FetchLimits) -> Url:
    """The parts of an address, in ASCII; FetchError when it is not one that may be called."""
    example = "such as https://example.org/face.jpg"
    if len(url) > MAX_URL:
        raise FetchError("address", f"the address is longer than {MAX_URL} characters")
    if any(c.isspace() or not c.isprintable() for c in url) or "\\" in url:
        raise FetchError("address", "the address has a space or a control character in it", hint=example)
    try:
        parts = parse_url(url)
    except urllib3.exceptions.LocationParseError:
        raise FetchError("address", "this is not an address of the web", hint=example) from None
    if parts.scheme not in PORTS:
        raise FetchError("address", "the address must begin with http:// or https://", hint=example)
    if not parts.host:
        raise FetchError("address", "the address names no server", hint=example)
    if parts.auth is not None:
        raise FetchError("address", "the address holds a user name or password", hint="leave it out")
    if not limits.allow_private and _port(parts) not in ALLOWED_PORTS:
        allowed = ", ".join(map(str, sorted(ALLOWED_PORTS)))
        raise FetchError("address", f"port {_port(parts)} is not allowed", hint=f"allowed are {allowed}")
    return parts


def _port(parts: Url) -> int:
    return PORTS[parts.scheme or ""] if parts.port is None else parts.port


def _joined(target: Url, location: str) -> str:
    try:
        return urljoin(target.url, location)
    except ValueError:
        raise FetchError("address", "the server leads on to something that is not an address") from None


def _get(target: Url, limits: FetchLimits, clock: Clock) -> bytes | str:
    """The body of one answer, or where it leads on to."""
    # identity, and no decoding: a small body that swells is then just not a picture
    headers = {"Host": target.netloc or "", "User-Agent": "flmd", "Accept": "image/*", "Connection": "close"}
    headers["Accept-Encoding"] = "identity"
    found = _allowed(target, limits, clock)
    with _spoken(target, clock), _connected(target, found, clock) as connection:
        connection.request("GET", target.request_uri, headers=headers, preload_content=False)
        with connection.getresponse() as response:
            location = response.headers.get("Location")
            if response.status in REDIRECTS and location:
                return location
            if response.status != 200:
                raise FetchError("status", f"the server answers {response.status} {response.reason}".strip())
            return _body(response, limits, clock)


def _allowed(target: Url, limits: FetchLimits, clock: Clock) -> list[Address]:
    """All addresses of the server's name; FetchError unless every one of them may be called."""
    found = _resolved(target, clock)
    for address in found:
        if limits.allow_private:
            allowed = not (address.is_multicast or address.is_unspecified)
        else:
            allowed = addresses.is_public(address)
        if not allowed:
            raise FetchError("refused", f"{_name(target)} is not a server on the public internet")
    return found


def _resolved(target: Url, clock: Clock) -> list[Address]:
    # In a thread of its own, because a look-up cannot be told to hurry.
    answers: queue.Queue[list[Address] | None] = queue.Queue()
    host = (target.host or "").strip("[]")

    def look_up() -> None:
        try:
            rows = socket.getaddrinfo(host, _port(target), type=socket.SOCK_STREAM)
            answers.put([addresses.parsed(str(row[4][0])) for row in rows] or None)
        except (OSError, UnicodeError, InputError):
            answers.put(None)

    threading.Thread(target=look_up, daemon=True, name="flmd-look-up").start()
    try:
        found = answers.get(timeout=clock.left())
    except queue.Empty:
        found = None
    if found is None:
        raise FetchError("no_answer", f"there is no server called {_name(target)}", hint="check the address")
    return found


@contextlib.contextmanager
def _connected(target: Url, found: list[Address], clock: Clock) -> Iterator[HTTPConnection]:
    """A connection to the first of the checked addresses that answers, cut when the time is over."""
    for at, address in enumerate(found):
        last = at == len(found) - 1
        # Half of what is left for each but the last: a network without IPv6 may swallow the first.
        connection = _connection(target, address, clock.left() / (1 if last else 2))
        with clock.watching(connection):
            try:
                connection.connect()
            except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
                if last:
                    raise
                continue
            if connection.sock is not None:
                connection.sock.settimeout(clock.left())
            yield connection
            return


def _connection(target: Url, address: Address, timeout: float) -> HTTPConnection:
    """A connection, not yet open, to an address that the certificate must name as the host asked for."""
    if target.scheme == "http":
        return HTTPConnection(str(address), _port(target), timeout=timeout)
    context = ssl.create_default_context()  # the system's authorities
    context.load_verify_locations(certifi.where())  # and the web's, where the system has none
    name = (target.host or "").strip("[]").rstrip(".")
    return HTTPSConnection(
        str(address), _port(target), timeout=timeout, ssl_context=context, server_hostname=name
    )


@contextlib.contextmanager
def _spoken(target: Url, clock: Clock) -> Iterator[None]:
    """Say what went wrong on the line in words for the person who typed the address."""
    late = FetchError("too_slow", f"{_name(target)} took more than {clock.seconds:g} seconds")
    try:
        yield
    except FetchError:
        raise
    except urllib3.exceptions.NewConnectionError as error:  # which is also a timeout, says its class
        raise FetchError("no_answer", f"{_name(target)} does not answer", hint="check the address") from error
    except (TimeoutError, urllib3.exceptions.TimeoutError) as error:
        raise late from error
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        if clock.over:
            raise late from error
        what = "does not answer as a web server does"
        if any(isinstance(e, ssl.SSLCertVerificationError) for e in (error, *error.args)):
            what = "cannot prove who it is"
        raise FetchError("no_answer", f"{_name(target)} {what}", hint="check the address") from error


def _body(response: urllib3.BaseHTTPResponse, limits: FetchLimits, clock: Clock) -> bytes:
    too_long = FetchError("too_large", f"the picture is larger than {limits.max_bytes / (1 << 20):g} MB")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length[:20]) > limits.max_bytes:
        raise too_long
    body = bytearray()
    try:
        for chunk in response.stream(CHUNK, decode_content=False):
            body += chunk
            if len(body) > limits.max_bytes:
                raise too_long
            if clock.over:
                break
    except urllib3.exceptions.ProtocolError as error:
        if not clock.over:
            raise FetchError("truncated", "the picture broke off on the way", hint="try again") from error
    if clock.over:  # also when the clock cut the line and what had come looks complete
        raise TimeoutError
    if kind_of(bytes(body[:32])) is None:
        raise FetchError(
            "not_a_picture", "there is no picture at this address", hint=f"it may be {', '.join(KINDS)}"
        )
    return bytes(body)


def _name(target: Url) -> str:
    return (target.host or "")[:100]
