"""What is wrong with a data set: counted by kind, the first few places of each kind named."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

NAMED = 5
KINDS = {
    "attributes_not_json": "attributes are not a JSON object of plain values",
    "bad_affine": "the matrix to the crop is not finite or cannot be inverted",
    "bad_box": "a box is not finite, or has no area",
    "bad_box_source": "what made the box is not a known word, or a box is missing or unexplained",
    "bad_image_name": "a picture's name is empty, absolute or leaves its folder",
    "bad_image_size": "a picture's size is not positive",
    "bad_shape": "points, visibility or box have a wrong shape",
    "bad_split": "a split is not train, val, test or empty",
    "bad_visibility": "visibility is not 0, 1 or 2",
    "box_misses_points": "a box holds less than half of its face's points",
    "box_outside_image": "a box lies wholly outside the picture",
    "crop_blank": "a crop is one single level: was it ever written?",
    "crop_misplaced": "the matrix to the crop does not follow from the box",
    "duplicate_face": "the same points of the same picture occur again",
    "image_damaged": "a picture cannot be decoded",
    "image_empty": "a picture has no bytes",
    "image_missing": "a picture is not there",
    "image_size_differs": "the annotation says another size than the picture has",
    "image_too_large": "a picture announces too many pixels",
    "image_too_many_scans": "a JPEG has more than 100 scans",
    "image_truncated": "a picture ends early",
    "image_unknown": "a file is not a picture",
    "image_unsupported": "a picture is of a kind for which a package is missing",
    "image_unreadable": "a picture cannot be read",
    "no_landmarks": "not one point is labelled",
    "not_finite": "a coordinate is infinite",
    "points_outside_image": "points lie outside the picture",
    "visibility_mismatch": "a point is NaN where visibility is not 0, or the other way round",
}
NOTES = {
    "boxes_cutting_points": "boxes that do not hold all of their face's points",
    "boxes_reaching_outside_image": "boxes that reach outside the picture",
    "pictures_not_looked_at": "no pictures to look at: sizes and files are not checked",
    "subjects_across_splits": "subjects with faces in more than one split",
}


@dataclass
class _Kind:
    count: int = 0
    first: list[str] = field(default_factory=list)


class Findings:
    """Findings and notes of one validation.

    A *finding* is something wrong; a *note* is worth knowing and nothing more. Both are counted by kind.

    Parameters
    ----------
    allowed : kinds of findings that count as notes.

    Attributes
    ----------
    faces : how many were looked at.
    findings, notes : kind -> count and first places.
    """

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self.faces = 0
        self.findings: dict[str, _Kind] = {}
        self.notes: dict[str, _Kind] = {}
        self._allowed = frozenset(allowed)

    def add(self, kind: str, where: str, what: str = "", count: int = 1) -> None:
        """Count a finding; ``what`` names the value that was found."""
        self._add(self.notes if kind in self._allowed else self.findings, kind, where, what, count)

    def note(self, kind: str, where: str, what: str = "", count: int = 1) -> None:
        """Count a note."""
        self._add(self.notes, kind, where, what, count)

    @staticmethod
    def _add(kinds: dict[str, _Kind], kind: str, where: str, what: str, count: int) -> None:
        found = kinds.setdefault(kind, _Kind())
        found.count += count
        if len(found.first) < NAMED and (where or what):
            found.first.append(f"{where}: {what}" if where and what else where or what)

    @property
    def clean(self) -> bool:
        """True when there is no finding; notes do not count."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON: ``faces``, ``clean``, ``findings`` and ``notes`` by kind."""
        return {
            "faces": self.faces,
            "clean": self.clean,
            "findings": {k: {"count": v.count, "first": v.first} for k, v in sorted(self.findings.items())},
            "notes": {k: {"count": v.count, "first": v.first} for k, v in sorted(self.notes.items())},
        }

    def lines(self) -> list[str]:
        """All of it, for people."""
        rows: list[str] = []
        for label, kinds in (("finding", self.findings), ("note", self.notes)):
            for kind, found in sorted(kinds.items()):
                meaning = KINDS.get(kind) or NOTES.get(kind) or "a face the reader skipped"
                rows.append(f"{label}  {kind}  {found.count}  ({meaning})")
                rows += [f"    {place}" for place in found.first]
                if found.count > len(found.first) > 0:
                    rows.append(f"    and {found.count - len(found.first)} more")
        total = sum(found.count for found in self.findings.values())
        rows.append(f"{self.faces} faces: " + ("clean" if self.clean else f"{total} findings"))
        return rows
