"""What lies in a DVC remote: every object hashed again, wrong and missing ones named, sent anew or removed.

A remote keeps each file under its own digest, so that the bytes can be judged by their name. DVC itself looks
at names only when it pushes: a file that a torn transfer or a bad disk left there counts as pushed, and a
folder's listing counts for all the files it lists. It looks at the bytes it pulls only when the remote's
``verify`` is set.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flmd.errors import ParamsError, one_line
from flmd.experiments.remote_objects import RemoteObjects

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
    address : without credentials, fit for messages.
    count, size : objects and bytes that were hashed.
    """

    def __init__(self, root: Path, name: str | None = None) -> None:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        self.count, self.size, self.name = 0, 0, name or ""
        try:
            self._repo = Repo(str(root))
            self.name = name or self._repo.config["core"].get("remote") or ""
            odb = self._repo.cloud.get_remote_odb(self.name or None, "flmd remote check")
            self._objects = RemoteObjects(odb)
        except DvcException as error:
            hint = "see dvc remote list, dvc remote add, docs/remotes.md"
            raise ParamsError(one_line(error).rstrip("."), where=str(root), hint=hint) from None
        except Exception as error:  # `remote://` in a circle, no host, a package that is missing
            why = "in a circle" if isinstance(error, RecursionError) else f"nowhere ({one_line(error)})"
            what = f"the address of remote {self.name!r} leads {why}"
            hint = f"`dvc remote modify {self.name} url ...` gives it another; see docs/remotes.md"
            raise ParamsError(what, where=str(root), hint=hint) from None
        self.verifies = bool(odb.verify)
        self.address = self._objects.address
        self._listed_in: dict[str, set[str]] = defaultdict(set)  # digest -> listings that name it
        self._listings: set[str] = set()  # those that were read
        self._leftovers: dict[str, str] = {}  # address -> path for the server
        self._counting = threading.Lock()

    def check(self, *, everything: bool = False) -> list[Fault]:
        """Hash what the commit at hand needs, or everything in the remote; what is wrong, in order of names.

        SourceError, at once, when the remote does not answer or refuses the credentials.
        """
        self.count = self.size = 0
        self._objects.reach()
        tracked = self._tracked()
        faults: list[Fault] = []
        listings = [digest for digest in tracked if digest.endswith(".dir")]
        with _bar() as bar:
            # Listings of folders first: they name more files. One that the remote lacks may be at hand here.
            faults += self._hash_all(listings, tracked, bar)
            for listing in set(listings) - self._listings:
                if (path := self._cached(listing)) is not None:
                    self._read_listing(listing, path.read_bytes(), tracked)
            files = [digest for digest in tracked if not digest.endswith(".dir")]
            if everything:
                digests, self._leftovers = self._objects.found()
                files += [digest for digest in digests if digest not in tracked]
                faults += [Fault(LEFTOVER, address) for address in self._leftovers]
            faults += self._hash_all(files, tracked, bar)
        return sorted(faults, key=lambda fault: (fault.what, fault.path, fault.address))

    def repair(self, faults: list[Fault]) -> tuple[int, list[Fault]]:
        """Send what is missing or wrong from this machine's cache; how many files, and the faults that stay.

        A folder's listing is sent last, and only when all its files are there: DVC takes it for their proof.
        What the cache lacks, or has wrong itself, stays as it is in the remote. DVC's own list of what it has
        to push is dropped, since a push that was killed may have left half of it.

        Raises
        ------
        SourceError : the remote does not take a file; what was sent before stays.
        """
        self._repo.drop_data_index()
        wanted = {fault.digest: fault for fault in faults if fault.what != LEFTOVER}
        here = [digest for digest in wanted if self._cached(digest) is not None]
        there = self._send([digest for digest in here if not digest.endswith(".dir")], wanted)
        incomplete = {listing for digest in wanted.keys() - there for listing in self._listed_in[digest]}
        there |= self._send([d for d in here if d.endswith(".dir") and d not in incomplete], wanted)
        return len(there), [fault for fault in faults if fault.digest not in there]

    def remove(self, faults: list[Fault]) -> int:
        """Remove wrong and left-over files, so that the next `dvc push` brings them anew; how many.

        With a file goes the listing of each folder that it belongs to: DVC takes a listing in the remote as
        a sign that all its files are there.
        """
        paths = {self._leftovers[fault.address] for fault in faults if fault.what == LEFTOVER}
        digests = {fault.digest for fault in faults if fault.what == WRONG}
        for fault in faults:
            if fault.digest:
                digests |= {d for d in self._listed_in[fault.digest] if self._objects.exists(d)}
        paths |= {self._objects.path_of(digest) for digest in digests}
        for path in sorted(paths):
            self._objects.remove(path)
        return len(paths)

    def _tracked(self) -> dict[str, str]:
        """Digest -> path in the project, of all outputs of dvc.lock and the files that `dvc add` tracks."""
        found: dict[str, str] = {}
        for out in self._repo.index.outs:
            if out.use_cache and out.hash_info and out.hash_info.name == "md5" and out.hash_info.value:
                path = Path(out.fs_path).relative_to(self._repo.root_dir).as_posix()
                found.setdefault(str(out.hash_info.value), path)
        return found

    def _hash_all(self, digests: list[str], tracked: dict[str, str], bar: tqdm[Any]) -> list[Fault]:
        # The servers have latency, and hashing releases the GIL.
        with ThreadPoolExecutor(4) as pool:
            faults = list(pool.map(lambda digest: self._hash(digest, tracked, bar), digests))
        return [fault for fault in faults if fault]

    def _hash(self, digest: str, tracked: dict[str, str], bar: tqdm[Any]) -> Fault | None:
        address, path = self._objects.address_of(digest), tracked.get(digest, "")
        try:
            found = self._objects.hash(digest, bar.update)
        except FileNotFoundError:
            return Fault(MISSING, address, digest, path=path)
        with self._counting:
            self.count += 1
            self.size += found.size
        if found.md5 != digest.removesuffix(".dir"):
            return Fault(WRONG, address, digest, found.md5, path)
        if digest.endswith(".dir"):
            self._read_listing(digest, found.listing, tracked)
        return None

    def _read_listing(self, digest: str, listing: bytes, tracked: dict[str, str]) -> None:
        entries: list[Mapping[str, str]] = json.loads(listing)  # its digest was right: DVC wrote it
        with self._counting:
            self._listings.add(digest)
            for entry in entries:
                self._listed_in[entry["md5"]].add(digest)
                if digest in tracked:
                    tracked.setdefault(entry["md5"], f"{tracked[digest]}/{entry['relpath']}")

    def _cached(self, digest: str) -> Path | None:
        """The file of this machine's cache, when it is there and has the bytes that its name says."""
        path = Path(self._repo.cache.local.oid_to_path(digest))
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        except FileNotFoundError:
            return None
        return path if found == digest.removesuffix(".dir") else None

    def _send(self, digests: list[str], faults: Mapping[str, Fault]) -> set[str]:
        """Copy from the cache to the remote, and hash there again; the digests that are right now."""
        for digest in digests:
            if faults[digest].what == WRONG:
                self._objects.remove(self._objects.path_of(digest))
        if digests:
            self._objects.add(digests, self._repo.cache.local)
        with _bar() as bar:
            still = {fault.digest for fault in self._hash_all(digests, {}, bar)}
        return set(digests) - still


def _bar() -> tqdm[Any]:
    return tqdm(desc="hash", total=0, unit="B", unit_scale=True, unit_divisor=1024, disable=None)
