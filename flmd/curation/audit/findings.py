"""What an audit finds, as plain records."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Shared:
    """Somebody, or one picture, that is in two splits.

    ``name``: subject, name or picture. ``how``: "subject", "name" (of the files) or "picture".
    ``faces``: split -> number of faces. ``rows``: one face of each split, in the order of ``faces``.
    """

    name: str
    how: str
    faces: dict[str, int]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """Two faces whose pictures are the same.

    Attributes
    ----------
    kind : "exact" (the same file), "near" (the same pixels, more or less) or "mirrored".
    rows, images, splits, subjects : of both, the lower row first.
    score : 0 ... 1, correlation of their details at the best shift; 1 for the same file.
    landmark_error : root-mean-square distance of their landmarks laid over one another (mirrored ones
        flipped by the scheme), in radii of the face; None where it cannot be said.
    names_agree : the file names say the same: one is the other with ``_mirror``, or they are equal.
    """

    kind: str
    rows: tuple[int, int]
    images: tuple[str, str]
    splits: tuple[str, str]
    subjects: tuple[str, str]
    score: float
    landmark_error: float | None
    names_agree: bool

    @property
    def across(self) -> bool:
        """Whether the two are in different splits."""
        return self.splits[0] != self.splits[1]


@dataclass(frozen=True)
class Outlier:
    """A face whose landmarks or box look wrong; ``reasons`` in words, ``score`` the worst of them."""

    row: int
    image: str
    split: str
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Conflict:
    """One face of one picture, labelled twice.

    ``iou``: of the two boxes. ``error``: root-mean-square distance of the points over the box's side.
    """

    rows: tuple[int, int]
    images: tuple[str, str]
    splits: tuple[str, str]
    iou: float
    error: float


@dataclass(frozen=True)
class Suspect:
    """A face whose label disagrees with a model.

    Attributes
    ----------
    row, image, split : which face.
    kind : what may be wrong, a key of :data:`flmd.curation.audit.explanations.KINDS`. says : more about it.
    score : robust standard deviations above usual faces, of the logarithm of the disagreement.
    away : mean distance of its points from where they should be by the model, over the face's size.
    points : names of those that lie off most, the worst first.
    """

    row: int
    image: str
    split: str
    kind: str
    score: float
    says: str
    away: float
    points: tuple[str, ...]


@dataclass(frozen=True)
class OddPoint:
    """A point that lies off among others that do not.

    ``times``: as far as the usual point of its face. ``away``: distance from where it should be, over the
    face's size.
    """

    row: int
    image: str
    point: str
    times: float
    away: float


@dataclass
class Audit:
    """All findings about a store.

    ``splits``: split -> faces. ``notes``: what could not be looked at, and why. The lists are ordered:
    across splits first, then the strongest. ``people_elsewhere``: how many of one split's subjects are in
    another too, in words. ``judge``: the model that labels were compared with, in words; "": none.
    """

    store: str
    faces: int
    scheme: str
    splits: dict[str, int]
    notes: list[str] = field(default_factory=list)
    shared_subjects: list[Shared] = field(default_factory=list)
    people_elsewhere: list[str] = field(default_factory=list)
    shared_names: list[Shared] = field(default_factory=list)
    shared_pictures: list[Shared] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    outliers: list[Outlier] = field(default_factory=list)
    judge: str = ""
    suspects: list[Suspect] = field(default_factory=list)
    odd_points: list[OddPoint] = field(default_factory=list)

    def pairs_of(self, kind: str, across: bool | None = None) -> list[Pair]:
        """The pairs of a kind; across splits, within one, or (None) both."""
        return [p for p in self.pairs if p.kind == kind and across in (None, p.across)]

    def counts(self) -> dict[str, int]:
        """How many of each finding."""
        out = {
            "shared_subjects": len(self.shared_subjects),
            "shared_names": len(self.shared_names),
            "shared_pictures": len(self.shared_pictures),
        }
        for kind in ("exact", "near", "mirrored"):
            out[f"{kind}_across_splits"] = len(self.pairs_of(kind, True))
            out[f"{kind}_within_split"] = len(self.pairs_of(kind, False))
        out |= {"conflicts": len(self.conflicts), "outliers": len(self.outliers)}
        return out | ({"suspects": len(self.suspects)} if self.judge else {})

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not any(self.counts().values())

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**asdict(self), "counts": self.counts()}
