"""A folder as one tar whose bytes depend on the files' names and contents alone."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from flmd.core.atomic import whole_or_nothing
from flmd.errors import InputError
from flmd.tree.base import DEFAULT_LIMITS, Limits
from flmd.tree.folder import PathTree, open_folder
from flmd.tree.names import shown


def pack_folder(folder: Path, target: Path, *, limits: Limits = DEFAULT_LIMITS) -> None:
    """Write the files of ``folder`` to ``target`` as an uncompressed tar.

    Files are sorted by name; times, owners and modes are fixed, so the same files give the same bytes on
    any machine. Left out are junk (:mod:`flmd.tree.names`), empty folders, and links that leave the folder
    from a hidden folder or a virtual environment in it. The tar is written beside ``target`` and renamed
    when whole. Raises InputError for a folder without files, one that contains ``target``, any other link
    that leaves it, or a file that changes meanwhile.
    """
    if not folder.is_dir():
        raise InputError("no such folder", where=shown(str(folder)))
    if target.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            "the archive would be written into the folder that it packs",
            where=shown(str(target)),
            hint=f"choose a place outside {shown(str(folder))}",
        )
    tree = open_folder(folder, limits)
    files = set(tree.names)
    for name, refusal in tree.passed_over.items():
        if not _is_aside(name, files):
            raise refusal  # the archive would lack what the folder seems to hold
    if not tree.names:
        raise InputError("the folder holds no files", where=shown(str(folder)))
    with whole_or_nothing(target) as new, new.open("wb") as stream:
        _write(tree, stream)


def _is_aside(name: str, files: set[str]) -> bool:
    """Whether a link lies where no data do: in a hidden folder, or in a virtual environment."""
    above = name.split("/")[:-1]
    folders = ["/".join(above[: i + 1]) for i in range(len(above))]
    return any(part.startswith(".") for part in above) or any(f"{f}/pyvenv.cfg" in files for f in folders)


def _write(tree: PathTree, stream: BinaryIO) -> None:
    total = sum(tree.size(name) for name in tree.names)
    bar = tqdm(total=total, desc=f"packing {tree.origin}", unit="B", unit_scale=True, disable=None, delay=1)
    tar = tarfile.TarFile(
        mode="w", fileobj=stream, format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
    )
    with tar, bar:
        for name in tree.names:
            member = tarfile.TarInfo(name)  # mtime, uid, gid 0, mode 0644 and no owner's name
            member.size = tree.size(name)
            with tree.open(name) as source:
                try:
                    tar.addfile(member, source)
                except OSError as error:
                    if error.errno is not None:
                        raise
                    raise _changed(tree, name) from error
                if source.read(1):
                    raise _changed(tree, name)
            bar.update(member.size)


def _changed(tree: PathTree, name: str) -> InputError:
    return InputError("the file changed while it was being packed", where=tree.where(name), hint="run again")
