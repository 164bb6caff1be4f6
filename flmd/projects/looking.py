"""A look at a source before it becomes a data set: which format, which points, is any face usable?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from flmd.conversion.face_source import FaceSource
from flmd.conversion.opening import HDF5
from flmd.conversion.stage import box_of, dataset_faces
from flmd.core import images
from flmd.core.dataset_params import DatasetParams
from flmd.errors import InputError, ParamsError
from flmd.face import Face, Skipped
from flmd.sources.datasets.rules import DatasetRules, rules_for
from flmd.tree import Limits, is_address, open_tree

FACES = 200  # that are looked at
PICTURES = 5  # of those, that are opened


@dataclass(frozen=True)
class Look:
    """What a source holds, from its first faces.

    Attributes
    ----------
    format : its name. scheme : that its points follow. points : how many. box : what boxes will be.
    faces : usable ones among the first ``FACES``. skipped : reason -> count among them.
    splits : split -> count, as the annotations publish it.
    """

    format: str
    scheme: str
    points: int
    box: str
    faces: int
    skipped: dict[str, int]
    splits: dict[str, int]

    def told(self, name: str, scheme: str) -> str:
        """In a line, for people; ``scheme`` is that of the store."""
        mapped = "" if self.scheme == scheme else f", mapped to {scheme}"
        skipped = ", ".join(f"{reason} {count}" for reason, count in sorted(self.skipped.items()))
        return (
            f"{name}: {self.format}, {self.points} points ({self.scheme}{mapped}), box {self.box}; "
            f"of the first {self.faces + sum(self.skipped.values())} faces {self.faces} can be used"
            + (f", skipped: {skipped}" if skipped else "")
        )


def look(name: str, dataset: DatasetParams, scheme: str, limits: Limits) -> Look | None:
    """Read the first faces of a data set as its stages would read them.

    None for a source that cannot be looked at without a download: an address, ``official``, the sample.

    Raises
    ------
    InputError : nothing there, no format fits, or no face is usable; says why.
    ParamsError : points that cannot be mapped to ``scheme``, or a split that the data set does not have.
    """
    rules = rules_for(name)
    if dataset.is_sample or dataset.source == "official":
        if (rules.official if dataset.source == "official" else rules.sample_faces) in (None, 0):
            what = "official address" if dataset.source == "official" else "sample"
            raise ParamsError(f"no {what} is known of {name!r}", hint="name a folder, an archive or a URL")
        return None
    if is_address(dataset.address):
        return None
    source = Path(dataset.address).expanduser()
    _check_kind(source, limits)
    with dataset_faces(name, dataset, source, scheme, limits=limits) as faces:
        return _first(faces, dataset, rules)


def _check_kind(source: Path, limits: Limits) -> None:
    """InputError for what the stage `download` would not take: nothing, or a single file."""
    if not source.exists():
        raise InputError("no such file or folder", where=str(source))
    with open_tree(source, limits=limits) as tree:
        if tree.kind == "file":
            hint = f"name its folder, {source.resolve().parent}, or one with this file and its pictures"
            if tree.read(source.name, 0, len(HDF5)) == HDF5:
                folder = source.with_suffix("")
                hint = f"`flmd-data convert {source} {folder} --to hf-dataset` makes a folder of a face store"
            expected = "a folder or an archive, with the pictures"
            raise InputError("is a single file", where=str(source), expected=expected, hint=hint)


def _first(faces: FaceSource, dataset: DatasetParams, rules: DatasetRules) -> Look:
    usable, splits, skipped = 0, Counter[str](), Counter[str]()
    first: dict[str, str] = {}
    opened: dict[str, Skipped | None] = {}
    for item in islice(faces, FACES):
        found: Any = item
        if isinstance(found, Face):
            splits[found.split] += 1
            found = rules.describe(found, dataset.split)
        if isinstance(found, Face):
            found = _picture(faces, found, opened) or found
        if isinstance(found, Skipped):
            skipped[found.reason] += 1
            first.setdefault(found.reason, f"{found.where}: {found.what}" if found.where else found.what)
        else:
            usable += 1
    if not usable:
        reason = max(skipped, key=lambda name: skipped[name], default="")
        why = f"none of its first {sum(skipped.values())} faces is usable: {reason}, {first[reason]}"
        raise InputError(why if reason else "it holds no face", where=faces.origin)
    published = {split: count for split, count in splits.items() if split}
    read_as = getattr(faces, "read_as", faces.scheme)
    box = box_of(dataset, faces)
    return Look(faces.kind, read_as.name, read_as.count, box, usable, dict(skipped), published)


def _picture(faces: FaceSource, face: Face, opened: dict[str, Skipped | None]) -> Skipped | None:
    """What is wrong with the picture of a face; a few are opened, of others the name is looked up."""
    name, tree = face.image, faces.pictures
    if name not in opened:
        opened[name] = None
        if tree is None or name not in tree:
            opened[name] = Skipped("image_missing", face.where, f"there is no picture {name!r}")
        elif len(opened) <= PICTURES:
            try:
                images.decode(tree.read(name))
            except images.ImageError as error:
                opened[name] = Skipped(error.reason, face.where, str(error))
    return opened[name]
