"""The checksum of an ONNX file: its last bytes are the SHA-256 of all before them.

ONNX has no checksum, and a runtime takes flipped weights for weights. A protobuf message may be continued at
its end: the seal is one more entry of the model's ``metadata_props``, so that every reader of ONNX takes the
file as before, and it is checked without any package for ONNX.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from flmd.errors import StoreError

KEY = b"flmd_sha256"
_DIGITS = 64
# Field 14 of ModelProto (metadata_props), a message: key is its field 1, value its field 2, both texts.
_ENTRY = b"\x0a" + bytes([len(KEY)]) + KEY + b"\x12" + bytes([_DIGITS])
_HEAD = b"\x72" + bytes([len(_ENTRY) + _DIGITS]) + _ENTRY


def put(path: Path) -> None:
    """Add the seal to a file that has none."""
    with path.open("r+b") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.write(_HEAD + digest.encode())


def check(path: Path) -> None:
    """Compare a file with its seal; about 1 ms for each MB.

    Raises
    ------
    StoreError : another program wrote it, or an earlier flmd, or its bytes are not those that were sealed.
    """
    data = path.read_bytes()
    content, seal = data[: -len(_HEAD) - _DIGITS], data[-len(_HEAD) - _DIGITS :]
    if not seal.startswith(_HEAD):
        raise StoreError(
            "has no checksum of flmd at its end: cut short, damaged, or of another program",
            where=str(path),
            expected="a file of `flmd export --to onnx`",
            hint="export the model again",
        )
    if seal[len(_HEAD) :] != hashlib.sha256(content).hexdigest().encode():
        raise StoreError(
            "damaged: its bytes are not those that were written (SHA-256)",
            where=str(path),
            hint="export the model again",
        )
