"""What is wrong with faces, block by block, told from the columns of a store alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.curation.findings import Findings
from flmd.face import BOX_SOURCES, SPLITS
from flmd.formats.layout import resolve
from flmd.store.values import attributes_of

Where = Callable[[int], str]


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


def _is_plain_object(text: str) -> bool:
    try:
        attributes_of(text)
    except ValueError:
        return False
    return True
