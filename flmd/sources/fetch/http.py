"""Downloading over HTTP: resumed where it broke off, retried when that can help, never mixed up.

A range is only asked for with proof that the file is still the same: a strong ETag or the
Last-Modified date in ``If-Range``, or a known SHA-256 that is checked afterwards.
"""

from __future__ import annotations

import email.utils
import re
import shutil
import time
from collections.abc import Mapping

import requests
import urllib3
from tqdm import tqdm

from flmd.errors import SourceError, one_line
from flmd.sources.fetch.partial import PartFile, Transient, Version, persist

CHUNK = 1 << 18
WORTH_RETRYING = frozenset({408, 425, 429, 500, 502, 503, 504})
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def download(
    url: str,
    part: PartFile,
    *,
    address: str,
    checked: bool,
    max_bytes: int,
    retries: int,
    backoff: float,
    timeout: float,
) -> None:
    """Complete ``part`` with the body that ``url`` serves.

    ``address`` is the URL as messages and notes may show it, ``checked`` whether the caller knows the
    SHA-256 and will compare it. ``timeout`` seconds without a byte end an attempt. Raises SourceError
    for a refusal by the server, a body above ``max_bytes``, or when ``retries`` more attempts failed.
    """
    with requests.Session() as session:

        def attempt() -> None:
            _attempt(session, url, part, address, checked, max_bytes, timeout)

        persist(attempt, part, address=address, retries=retries, backoff=backoff)


def _attempt(
    session: requests.Session,
    url: str,
    part: PartFile,
    address: str,
    checked: bool,
    max_bytes: int,
    timeout: float,
) -> None:
    had = part.version
    offset = part.size if had and had.address == address and (had.validator or checked) else 0
    if had and offset and part.whole:
        return
    # identity: a body that arrives compressed would not have the length and the digest of the file
    headers = {"Accept-Encoding": "identity", "User-Agent": "flmd"}
    if had and offset:
        headers["Range"] = f"bytes={offset}-"
        if had.validator:
            headers["If-Range"] = had.validator
    try:
        with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
            if _begin(response, part, offset, address):
                return
            _check_room(part, address, max_bytes)
            _receive(response, part, address, max_bytes)
    except (requests.exceptions.SSLError, requests.TooManyRedirects, ValueError) as error:
        # ValueError: requests' words for an address that makes no sense, here or in a redirect
        raise SourceError(one_line(error), where=address, hint="check the address") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Transient(reason_of(error, timeout)) from error
    total = part.version.total if part.version else None
    if total is not None and part.size != total:
        raise Transient(f"the connection ended after {part.size} of {total} bytes")


def _begin(response: requests.Response, part: PartFile, offset: int, address: str) -> bool:
    """Make ``part`` ready for the body of ``response``; True when there is nothing left to receive."""
    status, headers = response.status_code, response.headers
    if status == 200:
        length = headers.get("Content-Length", "")
        part.restart(Version(address, _validator(headers), int(length) if length.isdigit() else None))
        return False
    if status == 206 and offset:
        found = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if found and int(found[1]) == offset and _same(part.version, headers, found[3]):
            return False
        part.restart(Version(address))
        raise Transient("the file changed on the server since the download began")
    if status == 416 and offset:
        if headers.get("Content-Range", "") == f"bytes */{offset}" and _same(part.version, headers, "*"):
            return True
        part.restart(Version(address))
        raise Transient("the server has fewer bytes than were had already")
    reason = f"the server answers {status} {response.reason}".rstrip()
    if status in WORTH_RETRYING:
        raise Transient(reason, wait=retry_after(headers))
    hints = {
        401: "the address wants a login: fetch the file yourself and name it as the source",
        403: "the address wants a permission: fetch the file yourself and name it as the source",
        404: "check the address, or name another source",
    }
    raise SourceError(reason, where=address, expected="200 OK", hint=hints.get(status))


def _same(version: Version | None, headers: Mapping[str, str], total: str) -> bool:
    """Whether a partial answer can belong to the bytes at hand, as far as it says."""
    if version is None:
        return False
    if version.total is not None and total != "*" and int(total) != version.total:
        return False
    stated = {headers.get("ETag"), headers.get("Last-Modified")} - {None}
    return not (version.validator and stated) or version.validator in stated


def _validator(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("ETag")
    if etag and not etag.startswith("W/"):  # a weak one promises the meaning, not the bytes
        return etag
    return headers.get("Last-Modified")


def _check_room(part: PartFile, address: str, max_bytes: int) -> None:
    total = part.version.total if part.version else None
    if total is None:
        return
    if total > max_bytes:
        raise _too_long(address, max_bytes)
    free = shutil.disk_usage(part.path.parent).free
    if total - part.size > free:
        raise SourceError(
            f"{total - part.size} bytes are still to come and the disk has {free} left",
            where=str(part.path.parent),
            hint="free some space and run again",
        )


def _receive(response: requests.Response, part: PartFile, address: str, max_bytes: int) -> None:
    total = part.version.total if part.version else None
    at = part.size
    bar = tqdm(
        total=total, initial=at, desc=f"fetching {part.path.stem}", unit="B", unit_scale=True, disable=None
    )
    with bar:
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            at += len(chunk)
            if at > max_bytes:
                raise _too_long(address, max_bytes)
            part.append(chunk)
            bar.update(len(chunk))


def _too_long(address: str, max_bytes: int) -> SourceError:
    return SourceError(f"the file is longer than {max_bytes} bytes", where=address, expected="a data set")


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait for; 0 where it says nothing."""
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def reason_of(error: Exception, timeout: float) -> str:
    """Why a request failed, in words."""
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return f"no byte came for {timeout:g} seconds"
    if isinstance(error, requests.ConnectionError):
        return f"no connection ({_innermost(error)})"
    return f"the connection broke ({one_line(error)[:160]})"


def _innermost(error: BaseException) -> str:
    """What the system said, where it did: the errors around that repeat the address and names of classes."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        around = (getattr(inner, "reason", None), inner.__cause__, *reversed(inner.args))
        inner = next((each for each in around if isinstance(each, BaseException)), None)
    return one_line(error)[-160:]
