"""What is known of a data set beyond its annotation format: subjects, subsets, its standard split.

A data set is one module with one :class:`DatasetRules` and one line of ``KNOWN``. Names that are not known
get the plain rules: the format's own subjects and splits.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from flmd.errors import ParamsError, SourceError
from flmd.face import Face, Skipped
from flmd.sources.datasets.official import Official

KNOWN = {
    "ibug300w": "flmd.sources.datasets.ibug300w:RULES",
    "youtube_faces": "flmd.sources.datasets.youtube_faces:RULES",
}


class DatasetRules:
    """The plain rules; a data set overrides what it knows better.

    Attributes
    ----------
    name : as in params. official : where its authors publish it, or None.
    sample_faces : of the built-in sample, where params do not say how many.
    """

    official: Official | None = None
    sample_faces = 0

    def __init__(self, name: str) -> None:
        self.name = name

    def subject(self, face: Face) -> str:
        """Whose face: faces of one subject never land in two splits that are drawn by subject."""
        return face.subject or face.image

    def subset(self, face: Face) -> str:
        """The named part of the data set that the face belongs to, or ""."""
        return face.subset

    def standard_split(self, face: Face) -> str | Skipped:
        """The split that the field quotes its numbers on."""
        raise ParamsError(
            f"data set {self.name!r} has no standard split", expected="split: published or split: subject"
        )

    def make_sample(self, target: Path, faces: int, seed: int) -> None:
        """Draw the built-in stand-in for this data set, in its published layout."""
        raise SourceError(
            f"data set {self.name!r} has no built-in sample",
            expected=f"source: sample only for {' or '.join(KNOWN)}",
            hint="name a folder, an archive or a URL",
        )

    def describe(self, face: Face, policy: str) -> Face | Skipped:
        """Fill in data set, subject, subset and (unless drawn by subject later) split."""
        face.dataset = self.name
        face.subject = self.subject(face)
        face.subset = self.subset(face)
        if policy == "standard":
            split = self.standard_split(face)
            if isinstance(split, Skipped):
                return split
            face.split = split
        elif policy == "published" and not face.split:
            raise ParamsError(
                "the annotations publish no split", where=face.where or face.image, hint="set split: subject"
            )
        return face


def rules_for(name: str) -> DatasetRules:
    """The rules of a data set, by its name in params."""
    if name not in KNOWN:
        return DatasetRules(name)
    module, _, attribute = KNOWN[name].partition(":")
    found: Any = getattr(import_module(module), attribute)
    assert isinstance(found, DatasetRules)
    return found
