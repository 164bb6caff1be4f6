"""Pairs of faces whose pictures are copies of one another: the same file, nearly the same, or mirrored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flmd.curation.alignment import Aligned, mirrored, shape_distance
from flmd.curation.audit.descriptors import View, to_vectors
from flmd.curation.audit.findings import Conflict, Pair
from flmd.curation.audit.identities import names_agree
from flmd.curation.audit.search import alike, closeness
from flmd.schemes import Scheme

CANDIDATE = 0.88  # inner product of 16 x 16 pictures
# Of 32 x 32 pictures at their best shift. On iBUG 300-W and YouTube Faces pairs of one detail down to 0.85
# were looked at and were copies, or neighbouring frames of a video.
TONE, DETAIL = 0.92, 0.85
CHUNK = 4096  # pairs compared at a time
SAME_FACE = 0.5  # intersection over union of two boxes of one face
CONFLICT = 0.01  # of the box's side; below lies rounding

Intp = NDArray[np.intp]


@dataclass(frozen=True)
class Texts:
    """The texts of N faces."""

    images: Sequence[str]
    digests: Sequence[str]
    splits: Sequence[str]
    subjects: Sequence[str]


def similar_pairs(
    views: list[View], aligned: Aligned, texts: Texts, scheme: Scheme
) -> tuple[list[Pair], bool]:
    """Near and mirrored pairs of different files; whether some were left out for being too many."""
    groups = np.unique(list(texts.splits), return_inverse=True)[1]
    pairs: list[Pair] = []
    cut = False
    for kind in ("near", "mirrored"):
        scores: dict[tuple[int, int], float] = {}
        for view in views:
            if kind == "mirrored" and view.name == "aligned" and scheme.flip_order is None:
                continue  # the mean shape is not symmetric: mirrored views do not lie over one another
            left = view.vectors()
            turned = view.pictures[:, :, ::-1] if kind == "mirrored" else view.pictures
            right = to_vectors(turned, view.usable) if kind == "mirrored" else left
            i, j, left_out = alike(left, right, CANDIDATE, groups, f"{kind} pairs, {view.name}")
            cut |= left_out
            for start in range(0, len(i), CHUNK):
                a, b = i[start : start + CHUNK], j[start : start + CHUNK]
                tone, detail = closeness(view.pictures[a], turned[b])
                for k in np.flatnonzero((tone >= TONE) & (detail >= DETAIL)).tolist():
                    key = (int(a[k]), int(b[k]))
                    scores[key] = max(scores.get(key, 0.0), float(detail[k]))
        pairs += _pairs(kind, scores, aligned, texts, scheme)
    return pairs, cut


def exact_pairs(aligned: Aligned, texts: Texts, scheme: Scheme) -> list[Pair]:
    """Different picture names with the same bytes: each copy with the first of its kind."""
    first: dict[str, dict[str, int]] = defaultdict(dict)
    scores: dict[tuple[int, int], float] = {}
    for row, (digest, image) in enumerate(zip(texts.digests, texts.images, strict=True)):
        if not digest:
            continue
        names = first[digest]
        if names and image not in names:
            scores[next(iter(names.values())), row] = 1.0
        names.setdefault(image, row)
    return _pairs("exact", scores, aligned, texts, scheme)


def label_conflicts(
    landmarks: NDArray[np.floating], boxes: NDArray[np.floating], texts: Texts
) -> list[Conflict]:
    """Faces of one picture (by name or bytes) at one place whose landmarks differ."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, (digest, image) in enumerate(zip(texts.digests, texts.images, strict=True)):
        groups[digest or image].append(row)
    out = []
    for rows in groups.values():
        for n, a in enumerate(rows):
            for b in rows[n + 1 :]:
                iou = overlap(boxes[a], boxes[b])
                if iou <= SAME_FACE:
                    continue
                apart = np.linalg.norm(landmarks[a].astype(float) - landmarks[b], axis=1)
                apart = apart[np.isfinite(apart)]
                error = float(np.sqrt((apart**2).mean()) / boxes[a][2:].max()) if len(apart) else 0.0
                if error > CONFLICT:
                    splits = (texts.splits[a], texts.splits[b])
                    out.append(Conflict((a, b), (texts.images[a], texts.images[b]), splits, iou, error))
    return sorted(out, key=lambda c: -c.error)


def overlap(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    low = np.maximum(a[:2], b[:2])
    high = np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    inside = float(np.prod(np.maximum(high - low, 0), dtype=np.float64))
    both = float(a[2]) * float(a[3]) + float(b[2]) * float(b[3]) - inside
    return inside / both if both > 0 else 0.0


def groups_of(pairs: Sequence[Pair]) -> int:
    """Into how many groups of faces the pairs join."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        parent.setdefault(row, row)
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for pair in pairs:
        parent[root(pair.rows[0])] = root(pair.rows[1])
    return len({root(row) for row in list(parent)})


def _pairs(
    kind: str, scores: dict[tuple[int, int], float], aligned: Aligned, texts: Texts, scheme: Scheme
) -> list[Pair]:
    keys = [
        (a, b)
        for a, b in scores
        if kind == "exact" or not (texts.digests[a] and texts.digests[a] == texts.digests[b])
        if kind == "exact" or texts.images[a] != texts.images[b]
    ]
    a, b = (np.array([key[side] for key in keys], np.intp) for side in (0, 1))
    errors = _landmark_errors(kind, a, b, aligned, scheme)
    found = []
    for (i, j), error in zip(keys, errors.tolist(), strict=True):
        found.append(
            Pair(
                kind,
                (i, j),
                (texts.images[i], texts.images[j]),
                (texts.splits[i], texts.splits[j]),
                (texts.subjects[i], texts.subjects[j]),
                round(scores[i, j], 4),
                round(error, 4) if np.isfinite(error) else None,
                names_agree(texts.images[i], texts.images[j], kind == "mirrored"),
            )
        )
    return sorted(found, key=lambda p: (not p.across, -p.score, p.rows))


def _landmark_errors(kind: str, a: Intp, b: Intp, aligned: Aligned, scheme: Scheme) -> NDArray[np.float64]:
    if kind != "mirrored":
        return shape_distance(aligned.points[a], aligned.points[b])
    if scheme.flip_order is None:
        return np.full(len(a), np.nan)
    return shape_distance(aligned.points[a], mirrored(aligned.points[b], scheme))
