"""Checks of faces, block by block: of a store's columns, or of annotations with their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry, images
from flmd.core.orientation import STORED
from flmd.curation.face_checks import FaceChecks, Where
from flmd.curation.findings import Findings
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.common.picture_sizes import Header, header_of
from flmd.store import values
from flmd.store.column_buffer import NO_BOX, TEXTS, attributes_json
from flmd.store.face_store import FaceStore
from flmd.tree import FileTree

BLOCK = 256
MISPLACED = 0.05  # crop px between where the box puts a corner of the crop and where its matrix does
SIZES_KEPT = 4096  # pictures whose size is remembered
TAIL = 4096  # bytes at the end of a picture that must hold its end mark


def validate_store(path: Path, findings: Findings | None = None, *, pixels: bool = True) -> Findings:
    """Check every face of a store.

    Parameters
    ----------
    path : the store. findings : to add to. pixels : read the crops as well.

    Returns
    -------
    The findings; kinds are listed in :data:`flmd.curation.findings.KINDS`.

    Raises
    ------
    StoreError : not a store, of a later version, truncated, or with columns that do not match.
    """
    findings = Findings() if findings is None else findings
    with FaceStore(path) as store:
        checks = FaceChecks(findings, store.scheme.count)
        names = ("landmarks", "visibility", "box", "image_size")
        for rows in store.blocks(BLOCK):

            def where(i: int, first: int = rows.start) -> str:
                return f"{path}: face {first + i}"

            numbers = {name: np.array(store.column(name)[rows]) for name in names}
            checks.block(numbers, {name: store.texts(name, rows) for name in TEXTS}, where)
            if store.has_crops:
                _check_affine(findings, store, rows, numbers["box"], where)
                if pixels:
                    _check_pixels(findings, store, rows, where)
        checks.finish()
    return findings


def validate_faces(
    faces: Iterable[Face | Skipped],
    points: int,
    pictures: FileTree | None = None,
    findings: Findings | None = None,
    frame: str = STORED,
) -> Findings:
    """Check faces as a reader yields them, and their pictures.

    Parameters
    ----------
    faces : streamed once. A skipped face is a finding under the reader's reason.
    points : K, of the scheme.
    pictures : the tree in which ``Face.image`` is a name: every picture must be there, have a header
        that says its size, and an end. None: pictures are not looked at.
    findings : to add to; it holds what was found up to an error of the reader.
    frame : of the faces' coordinates, "stored" or "shown" (``flmd.core.orientation``).

    Returns
    -------
    The findings. Errors of the reader (InputError) pass through.

    Memory grows by some 100 bytes a face: the digests by which repeated faces are known.
    """
    findings = Findings() if findings is None else findings
    checks = FaceChecks(findings, points)
    looked = None if pictures is None else _Pictures(pictures, findings, frame)
    if looked is None:
        findings.note("pictures_not_looked_at", "")
    try:
        for block in _blocks(faces, findings, points):
            if looked is not None:
                for face in block:
                    looked.check(face)
            numbers: dict[str, NDArray[Any]] = {
                "landmarks": np.stack([f.landmarks for f in block]),
                "visibility": np.stack([f.visibility for f in block]),
                "box": np.stack([NO_BOX if f.box is None else f.box for f in block]),
                "image_size": np.array([f.image_size or (0, 0) for f in block]),
            }
            texts: dict[str, list[str]] = {n: [getattr(f, n) for f in block] for n in TEXTS[:-1]}
            texts["attributes"] = [attributes_json(f) for f in block]
            checks.block(numbers, texts, _place_in(block))
    finally:
        checks.finish()
    return findings


def _blocks(faces: Iterable[Face | Skipped], findings: Findings, points: int) -> Iterator[list[Face]]:
    """Faces in blocks, without those that no block can hold; what was read before an error comes first."""
    block: list[Face] = []
    stream = iter(faces)
    failure: InputError | None = None
    while True:
        try:
            item = next(stream, None)
        except InputError as error:
            item, failure = None, error
        if item is None:
            break
        if isinstance(item, Skipped):
            findings.faces += 1
            findings.add(item.reason, item.where, item.what)
            continue
        shapes = (item.landmarks.shape, item.visibility.shape, None if item.box is None else item.box.shape)
        if shapes[:2] != ((points, 2), (points,)) or shapes[2] not in (None, (4,)):
            findings.faces += 1
            what = f"points {shapes[0]}, visibility {shapes[1]}, box {shapes[2]}, not {points} points"
            findings.add("bad_shape", item.where or item.image, what)
            continue
        block.append(item)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block
    if failure is not None:
        raise failure


def _place_in(block: list[Face]) -> Where:
    return lambda row: block[row].where or block[row].image


class _Pictures:
    """Looks at each picture once or, when its faces lie far apart, a few times; names it once."""

    def __init__(self, tree: FileTree, findings: Findings, frame: str) -> None:
        self._tree, self._findings, self._frame = tree, findings, frame
        self._bad: set[str] = set()
        self._header = lru_cache(maxsize=SIZES_KEPT)(self._look)

    def check(self, face: Face) -> None:
        """Find the picture of a face; fills in ``image_size`` where the annotation does not say it."""
        header = self._header(face.image)
        if header is None:
            return
        size = header.size(self._frame)
        if face.image_size is None:
            face.image_size = size
        elif tuple(face.image_size) != size:
            what = f"{face.image_size[0]}x{face.image_size[1]}, the picture has {size[0]}x{size[1]}"
            if header.orientation != 1:
                what += f" as it is {self._frame}; its EXIF orientation is {header.orientation}, see --exif"
            self._findings.add("image_size_differs", face.where or face.image, what)

    def _look(self, name: str) -> Header | None:
        if name in self._bad:
            return None
        try:
            if name not in self._tree:
                raise images.ImageError("image_missing", "no such picture")
            header = header_of(self._tree, name)
            tail = self._tree.read(name, max(self._tree.size(name) - TAIL, 0))
            head = self._tree.read(name, 0, 8)
            # Some pictures end in padding: only decoding tells those from truncated ones.
            if (images.is_jpeg(head) and b"\xff\xd9" not in tail) or (
                head.startswith(b"\x89PNG") and b"IEND" not in tail
            ):
                images.decode(self._tree.read(name))
        except images.ImageError as error:
            self._found(error.reason, name, error.what)
        except InputError as error:
            self._found("image_unreadable", name, error.what)
        else:
            return header
        return None

    def _found(self, reason: str, name: str, what: str) -> None:
        self._bad.add(name)
        self._findings.add(reason, self._tree.where(name), what)


def _check_affine(
    findings: Findings, store: FaceStore, rows: slice, boxes: NDArray[np.float32], where: Where
) -> None:
    """Every matrix can be inverted, and is the one that its box makes."""
    crop = store.crop_spec
    affine = np.array(store.column("affine")[rows])
    usable = ~values.wrong("affine", affine)
    for row in np.flatnonzero(~usable).tolist():
        findings.add("bad_affine", where(row), f"{affine[row].tolist()}")
    good = usable & np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    if not good.any():
        return
    which = np.flatnonzero(good)
    made = geometry.square_crop(boxes[which], crop.zoom, crop.size)
    side = crop.size - 1.0
    corners = np.array([[0.0, 0], [side, 0], [0, side], [side, side]])
    there = geometry.apply(geometry.invert(made), np.repeat(corners[None], len(which), axis=0))
    off = np.abs(geometry.apply(affine[which], there) - corners).max(axis=(1, 2))
    for row, distance in zip(which.tolist(), off.tolist(), strict=True):
        if distance > MISPLACED:
            findings.add("crop_misplaced", where(row), f"by {distance:.3g} px of the crop")


def _check_pixels(findings: Findings, store: FaceStore, rows: slice, where: Where) -> None:
    for row, crop in enumerate(store.crops[rows]):
        low, high = int(crop.min()), int(crop.max())
        if low == high:
            findings.add("crop_blank", where(row), f"level {low} throughout")
