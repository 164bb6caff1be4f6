"""The findings of an audit as one page that needs no other file and no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flmd.core.atomic import whole_or_nothing
from flmd.curation.audit.explanations import KINDS
from flmd.curation.audit.findings import Audit, Conflict, Outlier, Pair, Shared, Suspect
from flmd.curation.audit.pairs import groups_of
from flmd.curation.audit.pictures import FacePicture, Pictures
from flmd.pages.page import render
from flmd.store.face_store import FaceStore

TEMPLATE = Path(__file__).with_name("page.html")
COPIES = (  # kind of pair, title, what it is
    ("exact", "Copies of a file", "Different names, the same bytes."),
    (
        "near",
        "Nearly the same picture",
        "Copies but for encoding, shift, size or brightness; also neighbouring frames of a video.",
    ),
    ("mirrored", "Mirrored pictures", "One is the other mirrored left to right, found by pixels."),
)
TWINS = (
    "Made on purpose: the names say that one is the other mirrored, and their landmarks agree. No fault, as "
    "both are in one split; they are listed so that none is missed."
)
AGREE = 0.05  # of a face's radius: the landmarks of intended twins differ by no more


SUSPECTS = (
    "The label on the left, the points of the model on the right. A red line leads from each of the worst "
    "points of the label to where the model has it. What may be wrong was found by trying it."
)

Drawn = int | tuple[int, str]
"""A face in its crop, or, near, with its "label" or the points of the "model"."""


@dataclass(frozen=True)
class Card:
    """One finding: its faces, who or what it is about (or ""), and what was found."""

    rows: tuple[Drawn, ...]
    name: str
    says: str


@dataclass(frozen=True)
class Section:
    """All findings of a kind. ``single``: each is about one face. ``large``: pictures are."""

    title: str
    about: str
    cards: list[Card]
    single: bool = False
    large: bool = False


def write_page(
    found: Audit,
    store: FaceStore,
    target: Path,
    *,
    most: int = 40,
    predicted: Mapping[int, NDArray[np.floating]] | None = None,
) -> None:
    """Write the findings as HTML; at most ``most`` of each kind with pictures. Whole or not at all.

    ``predicted`` : row -> (K, 2) image pixels, what the model says of each suspect.
    """
    sections = list(_sections(found))
    pictures = Pictures(store)
    rows: list[int] = []
    for section in sections:
        rows += [row for card in section.cards[:most] for row in card.rows if isinstance(row, int)]
    rows = list(dict.fromkeys(rows))
    faces: dict[Drawn, FacePicture] = {
        row: pictures.draw(row) for row in tqdm(rows, desc="pictures", disable=None, leave=False)
    }
    for item in found.suspects[:most]:
        model = np.asarray((predicted or {})[item.row], np.float64)
        both = pictures.compare(item.row, model, item.points)
        faces[item.row, "label"], faces[item.row, "model"] = both
    text = render(
        TEMPLATE,
        title=f"Audit of {Path(found.store).name}",
        about=f"{found.faces:,} faces, scheme {found.scheme}: {_counted(found.splits)}.",
        foot="Written by flmd-data audit. Landmarks are drawn as the store holds them.",
        notes=found.notes,
        sections=sections,
        most=most,
        faces=faces,
    )
    with whole_or_nothing(target) as part:
        part.write_text(text, encoding="utf-8", errors="replace")


def _sections(found: Audit) -> Iterator[Section]:
    """Every kind of finding, also those of which there are none."""
    if found.judge:
        title = f"Labels that {found.judge} disagrees with"
        yield Section(title, SUSPECTS, [_of_suspect(item) for item in found.suspects], large=True)
    told = "".join(f" {text[0].upper()}{text[1:]}." for text in found.people_elsewhere)
    for title, about, shared in (
        (
            "Subjects in two splits",
            "People that the store itself names in two splits." + told,
            found.shared_subjects,
        ),
        (
            "People in two splits, by picture names",
            "The pictures' names tell of one person or photo.",
            found.shared_names,
        ),
        ("Pictures in two splits", "One picture with faces in two splits.", found.shared_pictures),
    ):
        yield Section(title, about, [_of_shared(item) for item in shared])
    for kind, title, about in COPIES:
        for across, where in ((True, "across splits"), (False, "within a split")):
            pairs = [pair for pair in found.pairs_of(kind, across) if across or not is_intended(pair)]
            joined = f" They join into {groups_of(pairs):,} groups." if pairs else ""
            yield Section(f"{title}, {where}", about + joined, [_of_pair(item) for item in pairs])
    yield Section(
        "One face labelled twice",
        "The same face of the same picture with different landmarks.",
        [_of_conflict(item) for item in found.conflicts],
    )
    yield Section(
        "Landmarks that look wrong",
        "Unusual shapes, swapped sides, collapsed points, boxes elsewhere.",
        [_of_outlier(item) for item in found.outliers],
        single=True,
    )
    twins = [pair for pair in found.pairs_of("mirrored", False) if is_intended(pair)]
    yield Section("Mirrored twins, intended", TWINS, [_of_pair(item) for item in twins])


def is_intended(pair: Pair) -> bool:
    """Whether a mirrored pair within a split was made on purpose: by its names, and with the labels mirrored.

    Across splits no twin is harmless, and one whose landmarks disagree was mirrored without them.
    """
    agree = pair.landmark_error is None or pair.landmark_error <= AGREE
    return pair.kind == "mirrored" and not pair.across and pair.names_agree and agree


def _of_shared(item: Shared) -> Card:
    return Card(item.rows, item.name, f"{_counted(item.faces)} faces")


def _of_pair(item: Pair) -> Card:
    says = [f"score {item.score:.3f}"]
    if item.landmark_error is not None:
        says.append(f"landmarks differ by {100 * item.landmark_error:.1f}% of the face's radius")
    if item.subjects[0] != item.subjects[1]:
        says.append("two subjects")
    if item.kind == "mirrored":
        says.append("the names say so too" if item.names_agree else "the names do not say so")
    return Card(item.rows, "", " · ".join(says))


def _of_conflict(item: Conflict) -> Card:
    return Card(
        item.rows, "", f"boxes overlap {item.iou:.2f}, points {100 * item.error:.1f}% of the box apart"
    )


def _of_outlier(item: Outlier) -> Card:
    return Card((item.row,), "", "; ".join(item.reasons))


def _of_suspect(item: Suspect) -> Card:
    says = [KINDS[item.kind] + (f" ({item.says})" if item.says else "")]
    says += [f"score {item.score:.1f}", f"{100 * item.away:.1f}% of the face off on average"]
    says.append("worst: " + ", ".join(item.points))
    return Card(((item.row, "label"), (item.row, "model")), "", " · ".join(says))


def _counted(splits: dict[str, int]) -> str:
    return ", ".join(f"{split or 'no split'} {count:,}" for split, count in splits.items())
