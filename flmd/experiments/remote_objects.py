"""The objects of a DVC remote, each under the digest of its bytes, on any kind of server."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flmd.errors import ParamsError, SourceError, masked, one_line

BLOCK = 1 << 20
DIGEST = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True)
class Hashed:
    """An object as it lies there: the md5 and number of its bytes; the bytes of a folder's listing."""

    md5: str
    size: int
    listing: bytes


class RemoteObjects:
    """Reads, removes and adds objects by digest (md5; that of a folder's listing ends in ``.dir``).

    Every method raises SourceError when the server does not answer, or refuses.

    Attributes
    ----------
    address : of the remote, without credentials, fit for messages.
    """

    def __init__(self, odb: Any) -> None:
        self._odb = odb
        self.address = self._shown(odb.path)

    def path_of(self, digest: str) -> str:
        """The server's own name of an object."""
        return str(self._odb.oid_to_path(digest))

    def address_of(self, digest: str) -> str:
        """Where an object lies, or should; without credentials."""
        return self._shown(self._odb.oid_to_path(digest))

    def reach(self) -> None:
        """SourceError where the server can be told to be out of reach before anything is asked for."""
        with self._answering():
            self._odb.fs.exists(self._odb.path)

    def exists(self, digest: str) -> bool:
        """Whether there is such an object, whatever its bytes."""
        with self._answering():
            return bool(self._odb.fs.exists(self._odb.oid_to_path(digest)))

    def hash(self, digest: str, progress: Callable[[int], object]) -> Hashed:
        """Read an object; FileNotFoundError when there is none. ``progress`` is told of bytes."""
        md5, listing, size = hashlib.md5(usedforsecurity=False), bytearray(), 0
        with self._answering(), self._odb.fs.open(self._odb.oid_to_path(digest), "rb") as file:
            while block := file.read(BLOCK):
                md5.update(block)
                size += len(block)
                if digest.endswith(".dir"):
                    listing += block
                progress(len(block))
        return Hashed(md5.hexdigest(), size, bytes(listing))

    def found(self) -> tuple[list[str], dict[str, str]]:
        """The digests of all objects there are, and address -> path of what transfers left over; sorted."""
        try:
            with self._answering():
                paths = sorted(self._odb.fs.find(self._odb.path))
        except NotImplementedError:
            hint = "leave --all out: what this commit needs can be checked"
            raise ParamsError("a server without listings", where=self.address, hint=hint) from None
        names = {path: "".join(self._odb.fs.parts(path)[-2:]) for path in paths}
        digests = [name for name in names.values() if DIGEST.fullmatch(name)]
        return digests, {self._shown(path): path for path, name in names.items() if name.endswith(".tmp")}

    def remove(self, path: str) -> None:
        """Remove a file where there is one; ``path`` as :meth:`path_of` or :meth:`found` gave it."""
        with self._answering(), contextlib.suppress(FileNotFoundError):
            self._odb.fs.remove(path)

    def add(self, digests: Sequence[str], cache: Any) -> None:
        """Copy objects from a cache of DVC's; what the server has under their names is replaced."""

        def failed(_: str, error: BaseException) -> None:
            raise error

        paths = [cache.oid_to_path(digest) for digest in digests]
        with self._answering():
            self._odb.add(paths, cache.fs, list(digests), check_exists=False, verify=False, on_error=failed)

    def _shown(self, path: str) -> str:
        return masked(str(self._odb.fs.unstrip_protocol(path)))

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Any failure of the remote as one line; FileNotFoundError and NotImplementedError go through."""
        try:
            yield
        except NotImplementedError:
            raise
        except Exception as error:  # each kind of server has exceptions of its own
            reason = _refusal(error)
            if reason is None:
                raise FileNotFoundError(self.address) from error
            hint = "is it up, and are the credentials right? see docs/remotes.md"
            raise SourceError(f"not reachable: {one_line(reason)}", where=self.address, hint=hint) from error


def _refusal(error: BaseException) -> BaseException | None:
    """What a server has against us; None where it only says that there is no such file.

    fsspec's HTTP raises FileNotFoundError whatever went wrong. Its cause tells: an answer with a status other
    than "not found", or no connection.
    """
    if not isinstance(error, FileNotFoundError):
        return error
    cause = error.__cause__
    if cause is None or isinstance(cause, FileNotFoundError):
        return None if cause is None else _refusal(cause)
    status = getattr(cause, "status", None)
    refused = isinstance(status, int) and status not in (404, 410)
    return cause if refused or isinstance(cause, OSError) else None
