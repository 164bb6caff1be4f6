"""Where an export goes: written beside its target under another name, then moved, packed or sent there."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flmd.core.atomic import Scratch, default_folder, move_onto, naming, whole_or_nothing
from flmd.errors import InputError, ParamsError, one_line, printable
from flmd.tree import is_address, pack_folder
from flmd.tree.remote import file_system

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold


@contextlib.contextmanager
def placed(target: Path | str, overwrite: bool, scratch: Path | None) -> Iterator[Path]:
    """A free path of the target's name to write to; moved, packed or sent to the target at the end.

    Parameters
    ----------
    target : a file, a folder, an archive (ARCHIVES) of a folder, or an fsspec address of any of these.
    overwrite : replace a target that is there; ParamsError otherwise.
    scratch : folder for what is sent to an address.
    """
    if is_address(target):
        with _sent(str(target), overwrite, scratch) as work:
            yield work
        return
    target = Path(target)
    if target.exists() and not overwrite:
        raise ParamsError("exists already", where=str(target), hint="add --overwrite to replace it")
    ending = _archive_ending(target.name)
    if ending:
        with whole_or_nothing(target) as packed:
            inside = packed.with_name(target.name[: -len(ending)] or "inside")
            yield inside
            _pack(inside, packed, ending)
        return
    with naming(target), Scratch(target.parent, target.name) as beside:
        yield beside.folder / target.name
        _move_all(beside, target)


def _archive_ending(name: str) -> str:
    return next((ending for ending in ARCHIVES if name.lower().endswith(ending)), "")


def _move_all(beside: Scratch, target: Path) -> None:
    """Rename what was written into place: the target last, after the pictures and files beside it."""
    others = sorted(path for path in beside.folder.iterdir() if path.name != target.name)
    for path in others:
        move_onto(path, target.parent / path.name)
    written = beside.folder / target.name
    if not target.is_dir():
        written.replace(target)
    elif written.is_dir():
        beside.replace_folder(written, target)
    else:
        raise ParamsError("is a folder", where=str(target), expected="the name of a file")


def _utf8(name: str) -> str:
    """A name that a zip archive can hold; InputError for one of bytes that are no UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"the name {printable(name)!r} is not UTF-8, and names in a zip archive are",
            hint="write a folder or a .tar instead, or rename the picture",
        ) from None
    return name


def _pack(folder: Path, target: Path, ending: str) -> None:
    """Pack what was written; the same files give the same bytes."""
    if folder.is_file():
        raise ParamsError(
            f"a name ending in {ending} is an archive of a folder", hint="name the file inside without it"
        )
    if ending == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                info = zipfile.ZipInfo(_utf8(path.relative_to(folder).as_posix()), EPOCH)
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                with path.open("rb") as source, packed.open(info, "w", force_zip64=True) as member:
                    shutil.copyfileobj(source, member, 1 << 20)
        return
    if ending == ".tar":
        pack_folder(folder, target)
        return
    plain = target.with_name(target.name + ".tar")
    pack_folder(folder, plain)
    with (
        plain.open("rb") as source,
        target.open("wb") as out,
        gzip.GzipFile("", "wb", 6, out, mtime=0) as packed_tar,
    ):
        shutil.copyfileobj(source, packed_tar, 1 << 20)
    plain.unlink()


@contextlib.contextmanager
def _sent(address: str, overwrite: bool, scratch: Path | None) -> Iterator[Path]:
    """A path on this disk whose content is sent to an address at the end, file by file, each whole."""
    system, path = file_system(address)
    try:
        there = system.exists(path)
    except Exception as error:
        raise InputError(f"{type(error).__name__}: {one_line(error)}", where=address) from error
    if there and not overwrite:
        raise ParamsError("exists already", where=address, hint="add --overwrite to replace it")
    name = path.rstrip("/").rpartition("/")[2]
    with Scratch(scratch or default_folder(), "flmd-export") as here:
        top = here.folder / "out"
        top.mkdir()
        with placed(top / name, False, None) as work:
            yield work
        for file in sorted(p for p in top.rglob("*") if p.is_file()):
            inside = file.relative_to(top / name).as_posix() if (top / name).is_dir() else ""
            remote = f"{path}/{inside}" if inside else path.rpartition("/")[0] + f"/{file.name}"
            _send(system, file, remote, address)


def _send(system: Any, file: Path, remote: str, address: str) -> None:
    part = f"{remote}.part.tmp"
    try:
        with contextlib.suppress(NotImplementedError):
            system.makedirs(remote.rpartition("/")[0], exist_ok=True)
        system.put_file(str(file), part)
        if system.exists(remote):
            system.rm_file(remote)
        system.mv(part, remote)
    except Exception as error:
        with contextlib.suppress(Exception):
            system.rm_file(part)
        hint = "see to the address, the network and the credentials"
        raise InputError(f"{type(error).__name__}: {one_line(error)}", where=address, hint=hint) from error
