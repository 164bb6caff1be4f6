"""One read-only view over a folder, a tar, tar.gz/.bz2/.xz, a zip, one file, or an fsspec address.

    >>> with open_tree("data/raw/ibug300w") as tree:  # doctest: +SKIP
    ...     xml = tree.read(next(name for name in tree.names if name.endswith("_train.xml")))

What a path is, is told by its first bytes and never by its ending. Nothing is unpacked onto the disk
except a compressed tar, once, into a scratch file. Links, devices, encrypted members, names that point
outside the archive, names that occur twice, decompression bombs and damaged archives are refused with an
:class:`~flmd.errors.InputError` that names the archive and the member.
"""

from __future__ import annotations

from pathlib import Path

from flmd.errors import InputError, os_error_message
from flmd.tree.base import DEFAULT_LIMITS, FileTree, Kind, Limits
from flmd.tree.folder import FileBesideOthers, open_file, open_folder
from flmd.tree.names import shown
from flmd.tree.pack import pack_folder
from flmd.tree.remote import is_address, is_remote_file, open_remote, open_remote_beside
from flmd.tree.tar import BLOCK, is_tar, open_compressed_tar, open_tar
from flmd.tree.zip import open_zip

__all__ = [
    "DEFAULT_LIMITS",
    "FileTree",
    "Kind",
    "Limits",
    "is_address",
    "is_remote_file",
    "open_beside",
    "open_tree",
    "pack_folder",
]

ZIP = (b"PK\3\4", b"PK\5\6")
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
FOREIGN = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "RAR",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x04\x22\x4d\x18": "LZ4",
    b"PK\7\x08": "multi-volume zip",
}


def open_tree(path: Path | str, *, limits: Limits = DEFAULT_LIMITS, scratch: Path | None = None) -> FileTree:
    """Open a folder, an archive or one file for reading, on the disk or behind an fsspec address.

    ``limits`` bound how far an archive may expand. ``scratch`` is the folder that takes the unpacked copy
    of a compressed tar (as large as its contents; deleted on close) and the copy of a fetched archive, by
    default the system's temporary folder. Raises InputError when there is nothing at ``path``, it cannot be
    read, it is an archive of an unknown kind, or it holds something that is refused.
    """
    if is_address(path):
        return open_remote(
            str(path),
            limits,
            scratch,
            lambda copy: open_tree(copy, limits=limits, scratch=scratch),
            is_archive,
        )
    path = Path(path)
    try:
        if path.is_dir():
            return open_folder(path, limits)
        if not path.is_file():
            what = "neither a file nor a folder" if path.exists() else "no such file or folder"
            raise InputError(what, where=shown(str(path)))
        with path.open("rb") as stream:
            head = stream.read(BLOCK)
    except OSError as error:
        raise InputError(shown(os_error_message(error))) from error
    if head.startswith(ZIP):
        return open_zip(path, limits)
    for magic, codec in COMPRESSED.items():
        if head.startswith(magic):
            return open_compressed_tar(path, codec, limits, scratch)
    if is_tar(head):
        return open_tar(path, limits)
    for magic, kind in FOREIGN.items():
        if head.startswith(magic):
            raise InputError(
                f"a {kind} archive",
                where=shown(str(path)),
                expected="a folder, tar, tar.gz, tar.bz2, tar.xz or zip",
                hint="unpack it and name the folder",
            )
    return open_file(path)


def open_beside(path: Path | str, *, limits: Limits = DEFAULT_LIMITS) -> FileTree:
    """Open the folder of one file, for that file and what it names: what else lies there does not matter.

    ``names`` of the tree are those of the files right in the folder; deeper ones are found by their names,
    and by :meth:`~flmd.tree.base.FileTree.all_names`. ``path`` is a file on the disk or behind an address
    whose folder can be listed. Raises InputError as :func:`open_tree` does.
    """
    if is_address(path):
        return open_remote_beside(str(path), limits)
    if not Path(path).is_file():
        raise InputError("no such file", where=shown(str(path)))
    return FileBesideOthers(Path(path), limits)


def is_archive(head: bytes) -> bool:
    """Whether the first 512 bytes of a file are those of an archive."""
    return head.startswith((*ZIP, *COMPRESSED, *FOREIGN)) or is_tar(head)
