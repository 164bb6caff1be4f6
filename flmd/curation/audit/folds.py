"""Into which fold each face goes: a network never learned from the person, picture or twin that it judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

from flmd.conversion.splits import ranked
from flmd.curation.audit.findings import Pair
from flmd.curation.audit.identities import MOST_OF_A_STORE, person_named, unmirrored
from flmd.errors import ParamsError
from flmd.store.face_store import FaceStore


def units_of(store: FaceStore, pairs: Iterable[Pair] = ()) -> list[str]:
    """(N,) what each face stays together with.

    Faces are joined by subject, by picture (by name with and without what says that it is mirrored, and by
    bytes), by the person that names of pictures tell of, and by ``pairs`` of pictures that were found to be
    the same. What is joined to the same thing is joined.
    """
    datasets, images = store.texts("dataset"), store.texts("image")
    subjects, digests = store.texts("subject"), store.texts("image_sha256")
    people = [person_named(image) for image in images]
    common = {p for p, n in Counter(people).items() if n > max(MOST_OF_A_STORE * len(images), 1)}
    joined = _Joined(len(images))
    for row, (dataset, image, subject, digest) in enumerate(
        zip(datasets, images, subjects, digests, strict=True)
    ):
        joined.to(row, ("picture", dataset, unmirrored(image)))
        if subject:
            joined.to(row, ("subject", dataset, subject))
        if digest:
            joined.to(row, ("bytes", digest))
        if people[row] and people[row] not in common:
            joined.to(row, ("person", dataset, people[row]))
    for pair in pairs:
        joined.rows(*pair.rows)
    return [f"{datasets[root]}/{images[root]}#{root}" for root in joined.roots()]


def folds_of(units: list[str], count: int, seed: int) -> NDArray[np.intp]:
    """(N,) fold of each face, 0 ... ``count`` - 1: whole units, in the order of the seed, into the emptiest.

    ParamsError when there are fewer units than folds.
    """
    sizes = Counter(units)
    if len(sizes) < count:
        raise ParamsError(
            f"--folds {count}, but only {len(sizes)} groups of faces share no person or picture",
            expected="a fold for each at most",
        )
    faces = [0] * count
    fold: dict[str, int] = {}
    for unit in ranked(sizes, seed):
        fold[unit] = faces.index(min(faces))
        faces[fold[unit]] += sizes[unit]
    return np.array([fold[unit] for unit in units], np.intp)


class _Joined:
    """Rows in groups; each group is named by its first row."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))
        self._first: dict[Hashable, int] = {}

    def to(self, row: int, key: Hashable) -> None:
        """Join a row to all that have the same key."""
        self.rows(self._first.setdefault(key, row), row)

    def rows(self, a: int, b: int) -> None:
        """Join two rows."""
        one, other = self._root(a), self._root(b)
        self._parent[max(one, other)] = min(one, other)

    def roots(self) -> list[int]:
        """The first row of each row's group."""
        return [self._root(row) for row in range(len(self._parent))]

    def _root(self, row: int) -> int:
        while self._parent[row] != row:
            self._parent[row] = self._parent[self._parent[row]]
            row = self._parent[row]
        return row
