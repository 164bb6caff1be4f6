"""The report of a conversion: what was read, kept and skipped, and what looks wrong with the rest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flmd.conversion.splits import shared_subjects
from flmd.core.orientation import FRAME, FRAMES
from flmd.errors import InputError
from flmd.face import Skipped
from flmd.formats import Detection
from flmd.store.column_buffer import ColumnBuffer

NAMED = 5
BLOCK = 4096


class LossReport:
    """Counts while a conversion runs; the first few of every kind are named.

    Attributes
    ----------
    read : annotations found. kept : faces in the store. skipped : reason -> how many.
    oriented : pictures with an EXIF orientation -> frame of their labels, "stored" or "shown".
    made_from : digests and params (``flmd.core.provenance``), written as the last key.
    published : split -> faces, as the annotations have it; not written.
    """

    def __init__(
        self, dataset: str, fmt: str, found: Detection, *, box: str, split: str, strict: bool = False
    ) -> None:
        self.read = self.kept = 0
        self.skipped: Counter[str] = Counter()
        self._first: dict[str, list[str]] = {}
        self._about: dict[str, Any] = {
            "dataset": dataset,
            "format": fmt,
            "files": list(found.files),
            "found": found.why,
            "box": box,
            "split": split,
        }
        self._found: dict[str, Any] = {}
        self.oriented: dict[str, str] = {}
        self._strict = strict
        self.made_from: Mapping[str, Any] = {}
        self.published: Mapping[str, int] = {}

    def skip(self, item: Skipped) -> None:
        """Count a face that cannot be used; InputError when the conversion is strict."""
        if self._strict:
            raise InputError(
                f"{item.what} ({item.reason})", where=item.where, hint="mend it, or leave out --strict"
            )
        self.skipped[item.reason] += 1
        first = self._first.setdefault(item.reason, [])
        if len(first) < NAMED:
            first.append(f"{item.where}: {item.what}" if item.where else item.what)

    def summary(self) -> str:
        """The skipped faces in one line: "image_missing 3, wrong_point_count 1"."""
        return ", ".join(f"{reason} {count}" for reason, count in sorted(self.skipped.items()))

    def describe(self, kept: ColumnBuffer) -> None:
        """Look at the faces that were kept."""
        self.kept = len(kept)
        if not self.kept:
            return
        subjects = kept.texts("subject")
        splits = kept.texts("split")
        shared = shared_subjects(subjects, splits)
        self._found = {
            "splits": dict(sorted(Counter(splits).items())),
            "subjects": len(set(subjects)),
            "subjects_shared": {k: {"count": len(v), "first": v[:NAMED]} for k, v in shared.items()},
            **self._orientations(kept),
            **self._points(kept),
            "duplicate_pictures": self._duplicates(kept, splits),
        }

    def _orientations(self, kept: ColumnBuffer) -> dict[str, Any]:
        """Pictures with an EXIF orientation, and the frame their labels were read in; {} without any."""
        for start in range(0, len(kept), BLOCK):
            rows = slice(start, min(start + BLOCK, len(kept)))
            for name, text in zip(kept.texts("image", rows), kept.texts("attributes", rows), strict=True):
                if FRAME in text and (frame := json.loads(text).get(FRAME)) in FRAMES:
                    self.oriented.setdefault(name, frame)
        if not self.oriented:
            return {}
        frames = dict(sorted(Counter(self.oriented.values()).items()))
        first = list(self.oriented)[:NAMED]
        return {"exif_orientation": {"pictures": len(self.oriented), "read_as": frames, "first": first}}

    @staticmethod
    def _points(kept: ColumnBuffer) -> dict[str, Any]:
        outside = faces_outside = unlabelled = hidden = boxes_outside = 0
        for start in range(0, len(kept), BLOCK):
            rows = slice(start, start + BLOCK)
            points = kept.column("landmarks")[rows]
            size = kept.column("image_size")[rows][:, None, :]
            # A pixel covers half a unit to each side of its centre.
            out = np.any((points < -0.5) | (points > size - 0.5), axis=2)
            outside += int(out.sum())
            faces_outside += int(out.any(axis=1).sum())
            visibility = kept.column("visibility")[rows]
            unlabelled += int((visibility == 0).sum())
            hidden += int((visibility == 1).sum())
            box = kept.column("box")[rows]
            far = box[:, :2] + box[:, 2:]
            boxes_outside += int(np.any((box[:, :2] < 0) | (far > size[:, 0]), axis=1).sum())
        return {
            "points_outside_image": {"points": outside, "faces": faces_outside},
            "points_unlabelled": unlabelled,
            "points_hidden": hidden,
            "boxes_reaching_outside_image": boxes_outside,
        }

    @staticmethod
    def _duplicates(kept: ColumnBuffer, splits: list[str]) -> dict[str, Any]:
        names = kept.texts("image")
        digests = kept.texts("image_sha256")
        groups: dict[str, dict[str, str]] = {}
        for name, digest, split in zip(names, digests, splits, strict=True):
            if digest:  # none is known where pictures were left out
                groups.setdefault(digest, {})[name] = split
        repeated = [sorted(g) for g in groups.values() if len(g) > 1]
        across = [sorted(g) for g in groups.values() if len(set(g.values())) > 1]
        return {
            "groups": len(repeated),
            "across_splits": len(across),
            "first": sorted(repeated)[:NAMED],
            "first_across_splits": sorted(across)[:NAMED],
        }

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        skipped = {
            reason: {"count": count, "first": self._first[reason]}
            for reason, count in sorted(self.skipped.items())
        }
        counts = {
            "faces_read": self.read,
            "faces_kept": self.kept,
            "faces_skipped": sum(self.skipped.values()),
        }
        made_from = {"made_from": dict(self.made_from)} if self.made_from else {}
        return {**self._about, **counts, "skipped": skipped, **self._found, **made_from}

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.as_dict(), indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")

    def __str__(self) -> str:
        text = f"{self.read} faces read, {self.kept} kept"
        text = f"{text}, skipped: {self.summary()}" if self.skipped else text
        counts = sorted(Counter(self.oriented.values()).items())
        turned = ", ".join(f"{count} as {frame}" for frame, count in counts)
        return f"{text}; pictures with an EXIF orientation, read: {turned}" if turned else text
