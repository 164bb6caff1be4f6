"""What lies in a DVC remote: every object hashed again, wrong and missing ones named, wrong ones removed.

A remote keeps each file under its own digest, so that the bytes can be judged by their name. DVC itself looks
at names only when it pushes: a file that a torn transfer or a bad disk left there counts as pushed. It looks
at the bytes it pulls only when the remote's ``verify`` is set.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flmd.errors import ParamsError, SourceError, one_line

BLOCK = 1 << 20
DIGEST = re.compile(r"[0-9a-f]{32}(\.dir)?")
WRONG, MISSING, LEFTOVER = "wrong bytes", "missing", "leftover of a broken transfer"


@dataclass(frozen=True)
class Fault:
    """An object of a remote that is not as it should be.

    Attributes
    ----------
    what : WRONG, MISSING or LEFTOVER.
    address : where it lies, or should.
    digest : md5 that it goes by, that of a folder's listing ending in ``.dir``; "" for a leftover.
    got : md5 of its bytes, where they are wrong.
    path : a path in the project that these bytes belong to, or "" where the commit at hand names none.
    """

    what: str
    address: str
    digest: str = ""
    got: str = ""
    path: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.what}" if self.path else self.what
        if self.got:
            text += f", md5 {self.got}, not {self.digest.removesuffix('.dir')}"
        return f"{text}: {self.address}"


class Remote:
    """A DVC remote of the project at hand.

    Parameters
    ----------
    root : of the DVC project.
    name : of the remote; the default one when None. ParamsError when there is none such.

    Attributes
    ----------
    verifies : whether `dvc pull` checks what comes from it.
    count, size : objects and bytes that were hashed.
    """

    def __init__(self, root: Path, name: str | None = None) -> None:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        self.count = self.size = 0
        try:
            self._repo = Repo(str(root))
            self.name = name or self._repo.config["core"].get("remote") or ""
            self._odb = self._repo.cloud.get_remote_odb(self.name or None, "flmd remote check")
        except DvcException as error:
            hint = "see dvc remote list, dvc remote add, docs/remotes.md"
            raise ParamsError(one_line(error).rstrip("."), where=str(root), hint=hint) from None
        self.verifies = bool(self._odb.verify)
        self.address = str(self._odb.fs.unstrip_protocol(self._odb.path))
        self._listed_in: dict[str, set[str]] = defaultdict(set)
        self._leftovers: dict[str, str] = {}  # address -> path for the server
        self._counting = threading.Lock()

    def check(self, *, everything: bool = False) -> list[Fault]:
        """Hash what the commit at hand needs, or everything in the remote; what is wrong, in order of names.

        SourceError when the remote does not answer or refuses the credentials.
        """
        self.count = self.size = 0
        with self._answering():
            self._odb.fs.exists(self._odb.path)
        tracked = self._tracked()
        faults: list[Fault] = []
        listings = [digest for digest in tracked if digest.endswith(".dir")]
        with tqdm(desc="hash", total=0, unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:
            # Listings of folders first: they name more files.
            faults += self._hash_all(listings, tracked, bar)
            files = [digest for digest in tracked if not digest.endswith(".dir")]
            if everything:
                files += [digest for digest in self._found() if digest not in tracked]
                faults += [Fault(LEFTOVER, address) for address in self._leftovers]
            faults += self._hash_all(files, tracked, bar)
        return sorted(faults, key=lambda fault: (fault.what, fault.path, fault.address))

    def remove(self, faults: list[Fault]) -> int:
        """Remove wrong and left-over files, so that the next `dvc push` brings them anew; how many.

        With a file goes the listing of each folder that it belongs to: DVC takes a listing in the remote as
        a sign that all its files are there.
        """
        paths = {self._leftovers[fault.address] for fault in faults if fault.what == LEFTOVER}
        for fault in faults:
            if fault.digest:
                listings = {d for d in self._listed_in[fault.digest] if self._exists(d)}
                gone = {fault.digest} if fault.what == WRONG else set()
                paths |= {self._odb.oid_to_path(digest) for digest in gone | listings}
        for path in sorted(paths):
            with self._answering(), contextlib.suppress(FileNotFoundError):
                self._odb.fs.remove(path)
        return len(paths)

    def _tracked(self) -> dict[str, str]:
        """Digest -> path in the project, of all outputs of dvc.lock and the files that `dvc add` tracks."""
        found: dict[str, str] = {}
        for out in self._repo.index.outs:
            if out.use_cache and out.hash_info and out.hash_info.name == "md5" and out.hash_info.value:
                path = Path(out.fs_path).relative_to(self._repo.root_dir).as_posix()
                found.setdefault(str(out.hash_info.value), path)
        return found

    def _found(self) -> list[str]:
        """Digests of all objects in the remote; notes its left-over temporary files."""
        try:
            with self._answering():
                paths = sorted(self._odb.fs.find(self._odb.path))
        except NotImplementedError:
            hint = "leave --all out: what this commit needs can be checked"
            raise ParamsError("a server without listings", where=self.address, hint=hint) from None
        digests = []
        for path in paths:
            name = "".join(self._odb.fs.parts(path)[-2:])
            if DIGEST.fullmatch(name):
                digests.append(name)
            elif name.endswith(".tmp"):
                self._leftovers[str(self._odb.fs.unstrip_protocol(path))] = path
        return digests

    def _hash_all(self, digests: list[str], tracked: dict[str, str], bar: tqdm[Any]) -> list[Fault]:
        # The servers have latency, and hashing releases the GIL.
        with ThreadPoolExecutor(4) as pool:
            faults = list(pool.map(lambda digest: self._hash(digest, tracked, bar), digests))
        return [fault for fault in faults if fault]

    def _hash(self, digest: str, tracked: dict[str, str], bar: tqdm[Any]) -> Fault | None:
        path = self._odb.oid_to_path(digest)
        address = str(self._odb.fs.unstrip_protocol(path))
        hashed, listing = hashlib.md5(usedforsecurity=False), bytearray()
        size = 0
        try:
            with self._answering(), self._odb.fs.open(path, "rb") as file:
                while block := file.read(BLOCK):
                    hashed.update(block)
                    size += len(block)
                    if digest.endswith(".dir"):
                        listing += block
                    bar.update(len(block))
        except FileNotFoundError:
            return Fault(MISSING, address, digest, path=tracked.get(digest, ""))
        with self._counting:
            self.count += 1
            self.size += size
        if hashed.hexdigest() != digest.removesuffix(".dir"):
            return Fault(WRONG, address, digest, hashed.hexdigest(), tracked.get(digest, ""))
        if digest.endswith(".dir"):
            self._read_listing(digest, bytes(listing), tracked)
        return None

    def _read_listing(self, digest: str, listing: bytes, tracked: dict[str, str]) -> None:
        entries: list[Mapping[str, str]] = json.loads(listing)  # its digest was right: DVC wrote it
        with self._counting:
            for entry in entries:
                self._listed_in[entry["md5"]].add(digest)
                if digest in tracked:
                    tracked.setdefault(entry["md5"], f"{tracked[digest]}/{entry['relpath']}")

    def _exists(self, digest: str) -> bool:
        with self._answering():
            return bool(self._odb.fs.exists(self._odb.oid_to_path(digest)))

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Any failure of the remote as one line; FileNotFoundError and NotImplementedError go through."""
        try:
            yield
        except (FileNotFoundError, NotImplementedError):
            raise
        except Exception as error:  # each kind of server has exceptions of its own
            hint = "is it up, and are the credentials right? see docs/remotes.md"
            raise SourceError(one_line(error), where=self.address, hint=hint) from error
