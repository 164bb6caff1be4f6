"""Checks of faces, block by block: of a store's columns, or of annotations with their pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.conversion.context_crops import picture_size
from flmd.core import geometry, images
from flmd.curation.findings import Findings
from flmd.errors import InputError
from flmd.face import BOX_SOURCES, SPLITS, Face, Skipped
from flmd.formats.layout import resolve
from flmd.store.column_buffer import NO_BOX, TEXTS, attributes_json
from flmd.store.face_store import FaceStore
from flmd.tree import FileTree

BLOCK = 256
MISPLACED = 0.05  # crop px between where the box puts a corner of the crop and where its matrix does
SIZES_KEPT = 4096  # pictures whose size is remembered
TAIL = 4096  # bytes at the end of a picture that must hold its end mark
Where = Callable[[int], str]


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

            numbers = {name: store.numbers(name, rows) for name in names}
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
) -> Findings:
    """Check faces as a reader yields them, and their pictures.

    Parameters
    ----------
    faces : streamed once. A skipped face is a finding under the reader's reason.
    points : K, of the scheme.
    pictures : the tree in which ``Face.image`` is a name: every picture must be there, have a header
        that says its size, and an end. None: pictures are not looked at.
    findings : to add to; it holds what was found up to an error of the reader.

    Returns
    -------
    The findings. Errors of the reader (InputError) pass through.

    Memory grows by some 100 bytes a face: the digests by which repeated faces are known.
    """
    findings = Findings() if findings is None else findings
    checks = FaceChecks(findings, points)
    looked = None if pictures is None else _Pictures(pictures, findings)
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


class FaceChecks:
    """Checks of blocks of faces, given as the columns of a store.

    Parameters
    ----------
    findings : to add to. points : K.
    """

    def __init__(self, findings: Findings, points: int) -> None:
        self._findings, self._points = findings, points
        self._digests: set[bytes] = set()
        self._splits: dict[tuple[str, str], set[str]] = {}

    def block(
        self, numbers: Mapping[str, NDArray[Any]], texts: Mapping[str, list[str]], where: Where
    ) -> None:
        """Check n faces.

        Parameters
        ----------
        numbers : "landmarks" (n, K, 2), "visibility" (n, K), "box" (n, 4; NaN throughout: none) and
            "image_size" (n, 2; 0: not known). texts : the columns of ``flmd.store.column_buffer.TEXTS``.
        where : row in the block -> the place, for people.
        """
        self._findings.faces += len(numbers["box"])
        self._check_points(numbers, where)
        self._check_boxes(numbers, texts, where)
        self._check_texts(texts, where)
        self._find_duplicates(numbers, texts, where)

    def _check_points(self, numbers: Mapping[str, NDArray[Any]], where: Where) -> None:
        points, visibility, size = numbers["landmarks"], numbers["visibility"], numbers["image_size"]
        missing = np.isnan(points).any(axis=2)
        self._each("visibility_mismatch", missing != (visibility == 0), where)
        self._each("bad_visibility", visibility > 2, where)
        self._each("not_finite", np.isinf(points).any(axis=2), where)
        self._add("no_landmarks", missing.all(axis=1), where)
        self._add("bad_image_size", (size < 0).any(axis=1) | ((size == 0).sum(axis=1) == 1), where)
        # A pixel covers half a unit to each side of its centre.
        far = np.any((points < -0.5) | (points > size[:, None, :] - 0.5), axis=2)
        far &= np.all(size > 0, axis=1, keepdims=True)
        for row in np.flatnonzero(far.any(axis=1)).tolist():
            index = int(np.flatnonzero(far[row])[0])
            x, y = points[row, index].tolist()
            what = f"{int(far[row].sum())} points outside {size[row, 0]}x{size[row, 1]}: "
            self._findings.add("points_outside_image", where(row), f"{what}point {index} at ({x:g}, {y:g})")

    def _check_boxes(
        self, numbers: Mapping[str, NDArray[Any]], texts: Mapping[str, list[str]], where: Where
    ) -> None:
        box, size = numbers["box"].astype(np.float64), numbers["image_size"]
        none = np.all(np.isnan(box), axis=1)
        good = np.all(np.isfinite(box), axis=1) & np.all(box[:, 2:] > 0, axis=1)
        for row in np.flatnonzero(~none & ~good).tolist():
            self._findings.add("bad_box", where(row), f"box {numbers['box'][row].tolist()}")
        for row, (source, absent) in enumerate(zip(texts["box_source"], none.tolist(), strict=True)):
            if source not in BOX_SOURCES or absent != (source == "none"):
                what = f"{'no box' if absent else 'a box'} from {source!r}"
                self._findings.add("bad_box_source", where(row), what)
        low, high = box[:, :2] - 0.5, box[:, :2] + box[:, 2:] - 0.5
        known = good & np.all(size > 0, axis=1)
        outside = known & np.any((high <= -0.5) | (low >= size - 0.5), axis=1)
        self._add("box_outside_image", outside, where, lambda row: f"box {numbers['box'][row].tolist()}")
        reaching = known & ~outside & np.any((low < -0.5) | (high > size - 0.5), axis=1)
        self._note("boxes_reaching_outside_image", reaching, where)
        points = numbers["landmarks"]
        labelled = ~np.isnan(points).any(axis=2)
        inside = np.all((points >= low[:, None]) & (points <= high[:, None]), axis=2).sum(axis=1)
        total = labelled.sum(axis=1)
        missed = good & (2 * inside < total)
        self._add("box_misses_points", missed, where, lambda row: f"{inside[row]} of {total[row]} points")
        self._note("boxes_cutting_points", good & ~missed & (inside < total), where)

    def _check_texts(self, texts: Mapping[str, list[str]], where: Where) -> None:
        for row, (image, split) in enumerate(zip(texts["image"], texts["split"], strict=True)):
            if "\\" in image or resolve("", image) != image:
                self._findings.add("bad_image_name", where(row), repr(image))
            if split not in SPLITS:
                self._findings.add("bad_split", where(row), repr(split))
        for row, text in enumerate(texts["attributes"]):
            if text and not _is_plain_object(text):
                self._findings.add("attributes_not_json", where(row), text[:60])
        for dataset, subject, split in zip(texts["dataset"], texts["subject"], texts["split"], strict=True):
            if subject:
                self._splits.setdefault((dataset, subject), set()).add(split)

    def _find_duplicates(
        self, numbers: Mapping[str, NDArray[Any]], texts: Mapping[str, list[str]], where: Where
    ) -> None:
        points, names = np.ascontiguousarray(numbers["landmarks"]), texts["image"]
        for row, (dataset, split) in enumerate(zip(texts["dataset"], texts["split"], strict=True)):
            # The published test set of YouTube Faces repeats the names of its training pictures.
            name = f"{dataset}\0{split}\0{names[row]}".encode("utf-8", "surrogateescape")
            digest = hashlib.blake2b(name + b"\0" + points[row].tobytes(), digest_size=12).digest()
            if digest in self._digests:
                self._findings.add("duplicate_face", where(row), f"of picture {names[row]}")
            self._digests.add(digest)

    def finish(self) -> None:
        """What only the whole can tell."""
        for (_, subject), splits in self._splits.items():
            known = sorted(splits - {""})
            if len(known) > 1:
                self._findings.note("subjects_across_splits", subject, " and ".join(known))

    def _each(self, kind: str, wrong: NDArray[np.bool_], where: Where) -> None:
        """A finding a face for (n, K) points that are wrong."""
        for row in np.flatnonzero(wrong.any(axis=1)).tolist():
            indices = np.flatnonzero(wrong[row])
            what = f"{len(indices)} points, the first is {indices[0]}"
            self._findings.add(kind, where(row), what)

    def _add(
        self,
        kind: str,
        wrong: NDArray[np.bool_],
        where: Where,
        what: Callable[[int], str] = lambda row: "",
    ) -> None:
        for row in np.flatnonzero(wrong).tolist():
            self._findings.add(kind, where(row), what(row))

    def _note(self, kind: str, here: NDArray[np.bool_], where: Where) -> None:
        for row in np.flatnonzero(here).tolist():
            self._findings.note(kind, where(row))


class _Pictures:
    """Looks at each picture once or, when its faces lie far apart, a few times; names it once."""

    def __init__(self, tree: FileTree, findings: Findings) -> None:
        self._tree, self._findings = tree, findings
        self._bad: set[str] = set()
        self._size = lru_cache(maxsize=SIZES_KEPT)(self._look)

    def check(self, face: Face) -> None:
        """Find the picture of a face; fills in ``image_size`` where the annotation does not say it."""
        size = self._size(face.image)
        if size is None:
            return
        if face.image_size is None:
            face.image_size = size
        elif tuple(face.image_size) != size:
            what = f"{face.image_size[0]}x{face.image_size[1]}, the picture has {size[0]}x{size[1]}"
            self._findings.add("image_size_differs", face.where or face.image, what)

    def _look(self, name: str) -> tuple[int, int] | None:
        if name in self._bad:
            return None
        try:
            if name not in self._tree:
                raise images.ImageError("image_missing", "no such picture")
            size = picture_size(self._tree, name)
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
            return size
        return None

    def _found(self, reason: str, name: str, what: str) -> None:
        self._bad.add(name)
        self._findings.add(reason, self._tree.where(name), what)


def _check_affine(
    findings: Findings, store: FaceStore, rows: slice, boxes: NDArray[np.float32], where: Where
) -> None:
    """Every matrix can be inverted, and is the one that its box makes."""
    crop = store.crop_spec
    affine = store.numbers("affine", rows)
    finite = np.isfinite(affine).all(axis=(1, 2))
    usable = finite & (np.abs(np.linalg.det(np.where(finite[:, None, None], affine, 1.0)[:, :, :2])) > 1e-12)
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


def _is_plain_object(text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and all(isinstance(v, str | int | float | bool) for v in value.values())
