"""Other splits for a store: drawn again, everything else copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flmd.conversion.splits import by_subject, shared_subjects
from flmd.core import provenance
from flmd.errors import ParamsError
from flmd.formats.layout import photo_of
from flmd.store.build import Replaced, copy_rows
from flmd.store.face_store import FaceStore

STAGE = "flmd-data split"
UNITS = ("subject", "image", "random")


@dataclass(frozen=True)
class SplitReport:
    """What a new split is.

    Attributes
    ----------
    faces : split -> faces in it. units : split -> subjects, pictures or faces in it, whichever was drawn.
    changed : faces that are in another split than before.
    subjects_shared : "train-test" and the like -> subjects in both.
    """

    faces: dict[str, int]
    units: dict[str, int]
    changed: int
    subjects_shared: dict[str, int]


def split_store(
    store: FaceStore,
    target: Path,
    *,
    by: str,
    val: float,
    test: float,
    seed: int,
    progress: Callable[[int], object] = lambda n: None,
) -> SplitReport:
    """Write a store with other splits; rows, crops and all else stay as they are.

    Parameters
    ----------
    target : the new store, or ``store.path`` itself, which stays what it was until the new one is whole.
    by : what is never torn apart: "subject" (where none is named, the photo), "image", or, with
        "random", nothing: each face is drawn by itself.
    val : share of the faces that are not test, 0 ... 1. test : share of all faces.
    seed : together with the names it decides who goes where; the same seed gives the same bytes.

    Raises
    ------
    ParamsError : another ``by``; a share outside 0 ... 1; no face would be left to train on.
    """
    if by not in UNITS:
        raise ParamsError(f"--by {by}", expected="one of " + ", ".join(UNITS))
    for name, share in (("val", val), ("test", test)):
        if not 0 <= share < 1:
            raise ParamsError(f"--{name} {share:g}", expected="a share of 0 or more, below 1")
    units = _units(store, by)
    drawn = by_subject(units, val=val, test=test, seed=seed)
    if "train" not in drawn:
        raise ParamsError(
            f"no face would be left to train on: there are {len(set(units))} to draw from by {by}",
            where=str(store.path),
            hint="use smaller shares, or another --by",
        )
    report = _report(store, units, drawn)
    used = {"by": by, "val": val, "test": test, "seed": seed}
    if store.made_from.get("stage") == STAGE:  # nothing of an earlier split is left
        made_from = {**store.made_from, "params": used}
    else:
        made_from = provenance.made_from({store.path: store.made_from}, used, stage=STAGE)
    crop = store.crop_spec if store.has_crops else None
    changed = Replaced(store, texts={"split": drawn})
    copy_rows([changed], target, store.scheme, crop, made_from, progress)
    return report


def _units(store: FaceStore, by: str) -> list[str]:
    """What each face is drawn with."""
    images = store.texts("image")
    if by == "subject":
        subjects = zip(store.texts("subject"), images, strict=True)
        return [subject or photo_of(image) for subject, image in subjects]
    pictures = [f"{dataset}/{image}" for dataset, image in zip(store.texts("dataset"), images, strict=True)]
    if by == "image":
        return pictures
    # A face keeps its split when other pictures come or go.
    seen: Counter[str] = Counter()
    units = []
    for picture in pictures:
        units.append(f"{picture}#{seen[picture]}")
        seen[picture] += 1
    return units


def _report(store: FaceStore, units: list[str], splits: list[str]) -> SplitReport:
    before = store.texts("split")
    subjects = [s or photo_of(i) for s, i in zip(store.texts("subject"), store.texts("image"), strict=True)]
    shared = shared_subjects(subjects, splits)
    faces = Counter(splits)
    drawn = Counter(split for _, split in set(zip(units, splits, strict=True)))
    return SplitReport(
        faces={name: faces[name] for name in ("train", "val", "test")},
        units={name: drawn[name] for name in ("train", "val", "test")},
        changed=sum(a != b for a, b in zip(before, splits, strict=True)),
        subjects_shared={pair: len(names) for pair, names in shared.items()},
    )
