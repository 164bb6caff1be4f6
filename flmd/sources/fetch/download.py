"""Raw data from wherever the user says it is, into one verified archive."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from flmd.errors import SECRET_KEYS, InputError, SourceError
from flmd.sources.datasets.official import Official
from flmd.sources.fetch import http, object_store
from flmd.sources.fetch.manifest import Known, load_manifest, record
from flmd.sources.fetch.partial import PartFile, copy_whole
from flmd.tree import FileTree, Limits, open_tree, pack_folder
from flmd.tree.base import DEFAULT_LIMITS
from flmd.tree.names import shown

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
HTML = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html)\b", re.I | re.S
)
SECRETS = re.compile(SECRET_KEYS, re.IGNORECASE)


@dataclass(frozen=True)
class Fetched:
    """What stands at the target: lower-case hexadecimal ``sha256``, size in ``bytes``, whence it came."""

    sha256: str
    bytes: int
    address: str


def fetch(
    source: str,
    target: Path,
    *,
    manifest: Path,
    accept_license: bool,
    official: Official | None = None,
    limits: Limits = DEFAULT_LIMITS,
    retries: int = 5,
    backoff: float = 1.0,
    timeout: float = 30.0,
    state_dir: Path | None = None,
    params_key: str = "datasets.<name>",
) -> Fetched:
    """Put one archive of raw data at ``target``.

    ``source`` is ``official`` (the address that ``manifest`` or ``official`` has), a folder, the path of an
    archive, or a URL (http, https, file, s3 or another that fsspec knows). A folder is packed into a tar,
    everything else copied byte for byte after a look inside. ``target`` is replaced only by a whole,
    checked file.

    A file from a URL is compared with the SHA-256 that ``manifest`` knows for the address; the first
    download's is recorded there. A folder or archive of the user's own needs no such record: nobody
    published it, its bytes may change when the user means them to, and dvc.lock keeps the target's digest.

    Parameters
    ----------
    accept_license : whether the user accepts the official data's licence.
    official : where the data set is published, unless the manifest says so itself.
    limits : how far archives may expand; ``max_total_bytes`` bounds the download too.
    retries : attempts after the first, over the whole download.
    backoff : seconds before the second attempt, doubled each time, at most 60.
    timeout : seconds without a byte that end an attempt.
    state_dir : where the unfinished ``<target name>.part`` waits; beside ``target`` by default. It is
        not an output of the stage, so DVC leaves it alone, and a later run goes on with it.
    params_key : the place in params.yaml that messages name.

    Raises SourceError when the data cannot be had or is not what it should be, InputError when an
    archive or folder of the user's own is damaged or unsafe.
    """
    published = _published(source, manifest, official, accept_license, params_key)
    url = published or source
    scheme = SCHEME.match(url)
    if scheme and scheme[1].lower() == "file":
        return _local(_file_url(url), target, limits)
    if not scheme:
        return _local(Path(source).expanduser(), target, limits)
    part = PartFile(state_dir or target.parent, target.name)
    try:
        return _remote(url, part, target, manifest, limits, retries, backoff, timeout)
    finally:
        if part.size == 0:
            part.forget()
        part.close()


def public_address(url: str) -> str:
    """``url`` without password, fragment and signatures: fit for messages and a file tracked by git."""
    pieces = urllib.parse.urlsplit(url)
    query = "&".join(
        item for item in pieces.query.split("&") if item and not SECRETS.fullmatch(item.partition("=")[0])
    )
    return pieces._replace(netloc=pieces.netloc.rpartition("@")[2], query=query, fragment="").geturl()


def _published(
    source: str, manifest: Path, official: Official | None, accept_license: bool, params_key: str
) -> str | None:
    """The official address, when that is what ``source`` names; raises unless its licence is accepted."""
    if source != "official" and not SCHEME.match(source):
        return None
    official = load_manifest(manifest).official or official
    if source == "official" and official is None:
        raise SourceError(
            "no official address is known for this data set",
            where=params_key,
            hint="name a folder, an archive or a URL as the source",
        )
    if official is None or source not in ("official", official.url):
        return None
    if not accept_license:
        raise SourceError(
            f"the licence has not been accepted: {official.license}",
            where=official.url,
            hint=f"if you accept it, set accept_license: true under {params_key}",
        )
    return official.url


def _remote(
    url: str,
    part: PartFile,
    target: Path,
    manifest: Path,
    limits: Limits,
    retries: int,
    backoff: float,
    timeout: float,
) -> Fetched:
    address = public_address(url)
    known = load_manifest(manifest).known.get(address)
    most = limits.max_total_bytes
    if url.lower().startswith(("http://", "https://")):
        http.download(
            url,
            part,
            address=address,
            checked=known is not None,
            max_bytes=most,
            retries=retries,
            backoff=backoff,
            timeout=timeout,
        )
    else:
        object_store.download(url, part, address=address, max_bytes=most, retries=retries, backoff=backoff)
    try:
        found = _verified(part, address, known, limits, manifest)
    except (SourceError, InputError):
        part.forget()
        raise
    if known is None:
        record(manifest, address, found)
    part.move_to(target)
    return Fetched(found.sha256, found.bytes, address)


def _verified(part: PartFile, address: str, known: Known | None, limits: Limits, manifest: Path) -> Known:
    """Digest and size of a whole download. Raises SourceError when it is not what it should be."""
    with part.path.open("rb") as stream:
        if HTML.match(stream.read(1024)):
            raise SourceError(
                "the address serves a web page",
                where=address,
                expected="an archive",
                hint="a login or a dead link? open it in a browser, and name the file you get as the source",
            )
        stream.seek(0)
        found = Known(hashlib.file_digest(stream, "sha256").hexdigest(), part.size)
    if known is None:
        try:
            _look_inside(part.path, limits, part.path.parent)
        except InputError as error:
            raise SourceError(f"the address serves no usable archive: {error}", where=address) from error
    elif found != known:
        raise SourceError(
            f"the SHA-256 is {found.sha256} ({found.bytes} bytes)",
            where=address,
            expected=f"{known.sha256} ({known.bytes} bytes) by {manifest}",
            hint="the published file changed or was tampered with; remove the entry to accept the new one",
        )
    return found


def _local(source: Path, target: Path, limits: Limits) -> Fetched:
    address = shown(str(source))
    if source.is_dir():
        pack_folder(source, target, limits=limits)
        with target.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return Fetched(sha256, target.stat().st_size, address)
    if not source.exists():
        raise SourceError(
            "no such file or folder",
            where=address,
            expected="sample, official, a folder, an archive or a URL",
        )
    if target.exists() and source.samefile(target):
        raise SourceError("the source is the target itself", where=address, hint="keep it somewhere else")
    target.parent.mkdir(parents=True, exist_ok=True)
    _look_inside(source, limits, target.parent)
    digest = hashlib.sha256()
    size = source.stat().st_size
    with tqdm(
        total=size, desc=f"copying {source.name}", unit="B", unit_scale=True, disable=None, delay=1
    ) as bar:

        def note(piece: bytes) -> None:
            digest.update(piece)
            bar.update(len(piece))

        copy_whole(source, target, note)
    return Fetched(digest.hexdigest(), target.stat().st_size, address)


def _look_inside(path: Path, limits: Limits, scratch: Path) -> None:
    """Raise InputError unless ``path`` is an archive that opens and holds files."""
    with open_tree(path, limits=limits, scratch=scratch) as tree:
        _check_archive(tree, path)


def _check_archive(tree: FileTree, path: Path) -> None:
    if tree.kind == "file":
        raise InputError(
            "it is not an archive",
            where=shown(str(path)),
            expected="tar, tar.gz, tar.bz2, tar.xz or zip",
            hint="put a single file into a folder and name the folder",
        )
    if not tree.names:
        raise InputError("the archive holds no files", where=shown(str(path)))


def _file_url(url: str) -> Path:
    pieces = urllib.parse.urlsplit(url)
    if pieces.netloc not in ("", "localhost"):
        raise SourceError(
            f"the file address names the host {pieces.netloc!r}", where=url, expected="file:///absolute/path"
        )
    return Path(urllib.request.url2pathname(pieces.path))
