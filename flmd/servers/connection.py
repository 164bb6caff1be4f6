"""JSON over HTTP with one server. Every failure is one line, and no line holds the token."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from flmd.errors import ParamsError, SourceError, one_line, printable
from flmd.sources.fetch.http import WORTH_RETRYING, reason_of, retry_after
from flmd.sources.fetch.partial import LONGEST_WAIT, Transient

LARGEST = 256 << 20  # bytes of an answer
CHUNK = 1 << 16
SHOWN = 160  # characters of what a server says
_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to ask again.

    Attributes
    ----------
    silence : without a byte, after which an attempt has failed. answer : the longest that one may take.
    retries : further attempts at what changes nothing. backoff : the first wait before one; then it doubles.
    """

    silence: float = 30.0
    answer: float = 600.0
    retries: int = 3
    backoff: float = 1.0


class Connection:
    """A server, and the token that lets in.

    Parameters
    ----------
    url : of the server, such as "https://labels.example.org"; ParamsError for what cannot be one.
    token : goes into the header ``Authorization`` and nowhere else. ParamsError for an impossible one.
    """

    def __init__(self, url: str, token: str, patience: Patience = Patience()) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ParamsError(
                f"--url {url}", expected="the address of a server, as https://labels.example.org"
            )
        if "@" in parts.netloc:
            raise ParamsError(f"--url {url} holds a user", hint="use --token-from-env alone")
        if not _TOKEN.fullmatch(token):
            raise ParamsError("the token is empty, or has blanks or letters in it that no token has")
        self.url, self.patience, self._token = url.rstrip("/"), patience, token
        self._secrets = {token}
        self.authorization: Callable[[], str] = lambda: f"Token {token}"
        self._session = requests.Session()
        self._session.auth = _as_it_is  # else a .netrc takes the place of the token

    @property
    def token(self) -> str:
        """What lets in; not for messages."""
        return self._token

    def keep_secret(self, text: str) -> None:
        """Let no message hold this, as none holds the token."""
        self._secrets.add(text)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON that a path answers with; asked again where that can help."""
        for failures in range(self.patience.retries + 1):
            try:
                return self._once("GET", path, params=params)
            except Transient as problem:
                if failures == self.patience.retries:
                    raise self._failed("GET", path, f"{problem} (attempt {failures + 1})") from None
                time.sleep(min(LONGEST_WAIT, max(problem.wait, self.patience.backoff * 2**failures)))
        raise AssertionError("unreachable")

    def send(self, method: str, path: str, **body: Any) -> Any:
        """Change something, once: what the server answers as JSON; None where it answers nothing.

        ``body`` : ``json``, ``data``, ``files`` and ``params``, as of :func:`requests.request`.
        """
        try:
            return self._once(method, path, **body)
        except Transient as problem:
            raise self._failed(method, path, str(problem)) from None

    def lies(self, path: str, what: str) -> SourceError:
        """The error for an answer that makes no sense."""
        return self._failed("", path, f"the server answers {what}")

    def _once(self, method: str, path: str, **body: Any) -> Any:
        headers = {"Authorization": self.authorization(), "Accept": "application/json", "User-Agent": "flmd"}
        silence = self.patience.silence
        try:
            with self._session.request(
                method,
                self.url + path,
                headers=headers,
                timeout=silence,
                stream=True,
                allow_redirects=False,  # to another server the token must not go, and a POST becomes a GET
                **body,
            ) as response:
                content = self._content(method, path, response)
                self._check(method, path, response, content)
        except (requests.exceptions.SSLError, ValueError) as error:
            raise self._failed(method, path, one_line(error)[:SHOWN], "check --url") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise Transient(reason_of(error, silence)) from None
        if not content:
            return None
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            what = f"{response.headers.get('Content-Type', 'no JSON')[:40]}, not JSON"
            raise self._failed(method, path, f"the server answers {what}", "check --url") from None

    def _content(self, method: str, path: str, response: requests.Response) -> bytes:
        """The body, which neither takes too long nor is too long."""
        content, end = bytearray(), time.monotonic() + self.patience.answer
        while piece := response.raw.read1(CHUNK, decode_content=True):
            content += piece
            if len(content) > LARGEST:
                raise self._failed(method, path, f"the answer is longer than {LARGEST >> 20} MiB")
            if time.monotonic() > end:
                seconds = f"{self.patience.answer:g} seconds"
                raise self._failed(method, path, f"the answer takes longer than {seconds}")
        return bytes(content)

    def _check(self, method: str, path: str, response: requests.Response, content: bytes) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        what = f"the server answers {status} {response.reason}".rstrip()
        if 300 <= status < 400:
            place = self._masked(response.headers.get("Location", ""))[:SHOWN]
            raise self._failed(method, path, f"{what} and leads to {place!r}", "name that with --url")
        if status in WORTH_RETRYING:
            raise Transient(what, wait=retry_after(response.headers))
        hints = {
            401: "check the token that --token-from-env names",
            403: "the user of the token may not do this",
            404: "check --url and --project",
        }
        said = self._said(content)
        raise RefusedError(
            status, self._failed(method, path, what + (f": {said}" if said else ""), hints.get(status))
        )

    def _said(self, content: bytes) -> str:
        """What a server says of a refusal, in a line; "" for a page."""
        try:
            tree = json.loads(content)
        except (ValueError, RecursionError):
            return ""
        if isinstance(tree, Mapping):  # Label Studio's "detail" is "Validation error" where it says more
            tree = tree.get("validation_errors") or tree.get("detail", tree)
        return " ".join(self._masked(str(tree)).split())[:SHOWN]

    def _masked(self, text: str) -> str:
        """The text without what is secret; before it is cut, so that no part of that is left."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _failed(self, method: str, path: str, what: str, hint: str | None = None) -> SourceError:
        where = f"{method} {self.url}{path}".strip()
        return SourceError(printable(self._masked(what)), where=where, hint=hint)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """What logs in: the header that the request has."""
    return request


class RefusedError(SourceError):
    """The server understood, and said no.

    Attributes
    ----------
    status : of HTTP, such as 401.
    """

    def __init__(self, status: int, error: SourceError) -> None:
        super().__init__(error.what, where=error.where, expected=error.expected, hint=error.hint)
        self.status = status
