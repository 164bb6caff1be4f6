"""Who trains and who tests: faces that share a subject stay in one split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable


def ranked(subjects: Iterable[str], seed: int) -> list[str]:
    """Distinct subjects in an order that depends only on their names and the seed."""
    return sorted(
        set(subjects),
        key=lambda s: hashlib.sha256(f"{seed}\0{s}".encode("utf-8", "surrogateescape")).digest(),
    )


def take_share(subjects: list[str], share: float, seed: int) -> set[str]:
    """Whole subjects that together hold at least ``share`` of the faces.

    Parameters
    ----------
    subjects : one entry a face.
    share : 0 ... 1; 0 takes nobody.

    Returns
    -------
    The subjects taken: the fewest, in :func:`ranked` order, that reach the share.
    """
    counts = Counter(subjects)
    want = share * len(subjects)
    taken: set[str] = set()
    have = 0
    for subject in ranked(counts, seed):
        if have >= want:
            break
        taken.add(subject)
        have += counts[subject]
    return taken


def by_subject(subjects: list[str], *, val: float, test: float, seed: int) -> list[str]:
    """ "train", "val" or "test" for each face; ``val`` is a share of what is not test."""
    testing = take_share(subjects, test, seed)
    validating = take_share([s for s in subjects if s not in testing], val, seed + 1)
    return ["test" if s in testing else "val" if s in validating else "train" for s in subjects]


def hold_out(subjects: list[str], splits: list[str], *, val: float, seed: int) -> list[str]:
    """The same splits with whole training subjects moved to "val", unless there is a "val" already."""
    if "val" in splits:
        return splits
    training = [s for s, split in zip(subjects, splits, strict=True) if split == "train"]
    validating = take_share(training, val, seed + 1)
    return [
        "val" if split == "train" and s in validating else split
        for s, split in zip(subjects, splits, strict=True)
    ]


def shared_subjects(subjects: list[str], splits: list[str]) -> dict[str, list[str]]:
    """Subjects found in two splits: "train-test" and the like -> their sorted names."""
    members: dict[str, set[str]] = {}
    for subject, split in zip(subjects, splits, strict=True):
        members.setdefault(split, set()).add(subject)
    names = [name for name in ("train", "val", "test") if name in members]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return {f"{a}-{b}": sorted(members[a] & members[b]) for a, b in pairs}
