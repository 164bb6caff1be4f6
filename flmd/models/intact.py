"""Is a model file as it was written? The checksums that torch writes and does not look at again.

A file of torch is a zip archive, and so is one of TorchScript: each record has a CRC-32. torch reads past
it, so that weights with flipped bits load and predict something else. Reading a file twice costs about 1 ms
for each MB.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from flmd.errors import StoreError

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[A-Za-z]+$")  # torchvision's vgg19-dcbb9e9d.pth
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    OSError,
)


def is_zip(file: BinaryIO) -> bool:
    """Whether an open file is a zip archive that has its end; its position is 0 afterwards."""
    try:
        found = zipfile.is_zipfile(file)
    except zipfile.BadZipFile:  # it has an end, which speaks of several disks
        found = True
    file.seek(0)
    return found


def check_zip(file: BinaryIO, where: str, hint: str) -> None:
    """Compare every record of an open zip archive with its CRC-32; the position is 0 afterwards.

    Parameters
    ----------
    where : the file's name. hint : what to do with one that is damaged.

    Raises
    ------
    StoreError : a record is not what was written, or the archive cannot be read to its end.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except _UNREADABLE as error:
        what = f"damaged: its records cannot be read ({' '.join(str(error).split())[:160]})"
        raise StoreError(what, where=where, hint=hint) from None
    if damaged is not None:
        raise StoreError(
            f"damaged: record {damaged[:80]!r} is not what was written (CRC-32)", where=where, hint=hint
        )
    file.seek(0)


def check_name(path: Path, hint: str) -> None:
    """StoreError when the SHA-256 of a file that is named as torchvision names them begins otherwise."""
    named = _HASH_IN_NAME.search(path.name)
    if named is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(named[1]):
        raise StoreError(
            f"damaged: its SHA-256 begins with {found[: len(named[1])]}",
            where=str(path),
            expected=f"{named[1]}, as in its name",
            hint=hint,
        )
