"""``python -m benchmarks.gpu.pack``: the faces of a run as tar files, for a machine without a network.

    python -m benchmarks.gpu.pack --ibug300w ../shared/data/ibug_300w \
        --youtube-faces ../shared/data/youtube_faces --out /tmp/packed --part-mib 58
    for part in /tmp/packed/*.tar; do tar xf $part -C faces; done          # there

Pictures become JPEG where that makes them smaller, under the names they had: flmd reads a picture by its
bytes, so that the annotation files, which are copied as they are, still name them.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from flmd.errors import FlmdError, ParamsError
from flmd.formats.layout import is_picture
from flmd.tree import open_tree

QUALITY = 88  # of JPEG; the pictures of YouTube Faces are PNG named .jpg, and shrink to a sixth
BLOCK = 512  # bytes, of a tar


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.pack")
    parser.add_argument("--ibug300w", type=Path, required=True, help="faces of iBUG 300-W: folder, archive")
    parser.add_argument("--youtube-faces", type=Path, required=True, help="faces of YouTube Faces")
    parser.add_argument("--out", type=Path, required=True, help="folder of the parts")
    parser.add_argument("--part-mib", type=float, default=58.0, help="the largest part")
    chosen = parser.parse_args()
    sources = {"ibug300w": chosen.ibug300w, "youtube_faces": chosen.youtube_faces}
    try:
        for part in pack(sources, chosen.out, int(chosen.part_mib * 2**20)):
            print(f"{part}: {part.stat().st_size} bytes")
    except FlmdError as error:
        raise SystemExit(str(error)) from None


def pack(sources: Mapping[str, Path], folder: Path, part: int) -> list[Path]:
    """Pack data sets.

    Parameters
    ----------
    sources : data set -> folder or archive. folder : of ``part-1.tar``, ``part-2.tar`` and so on, in which
        each file lies under its data set's name. part : bytes of a part, at most.

    Raises
    ------
    ParamsError
        When one file alone is larger than a part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[Path] = []
    held: list[tuple[str, bytes]] = []
    taken = 0
    room = part - tarfile.RECORDSIZE - 2 * BLOCK  # a tar ends with two blocks, and is filled up to a record
    for name, data in tqdm(_files(sources), unit=" files", desc="pack", disable=None):
        size = BLOCK + -(-len(data) // BLOCK) * BLOCK
        if size > room:
            raise ParamsError(f"{name}: {len(data)} bytes", expected=f"files smaller than a part of {part}")
        if taken + size > room:
            parts.append(_write(held, folder / f"part-{len(parts) + 1}.tar"))
            held, taken = [], 0
        held.append((name, data))
        taken += size
    return [*parts, _write(held, folder / f"part-{len(parts) + 1}.tar")]


def _write(files: list[tuple[str, bytes]], target: Path) -> Path:
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return target


def _files(sources: Mapping[str, Path]) -> Iterator[tuple[str, bytes]]:
    """Name in the pack and bytes of every file."""
    for dataset, source in sources.items():
        with open_tree(source) as tree:
            for name in tree.names:
                data = tree.read(name)
                yield f"{dataset}/{name}", smaller(data) if is_picture(name) else data


def smaller(data: bytes) -> bytes:
    """A picture as JPEG of `QUALITY`, or as it was where that is no smaller or it is turned by EXIF.

    Parameters
    ----------
    data : of a picture file; what OpenCV cannot read stays as it is.
    """
    if b"Exif\0\0" in data[:4096]:
        return data
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None or pixels.dtype != np.uint8:
        return data
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = pixels[:, :, :3]
    made = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return made if len(made) < len(data) else data


if __name__ == "__main__":
    main()
