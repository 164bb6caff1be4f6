"""The same faces give the same bytes a second later, also where a library would write the time."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from flmd import formats
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.fuzzing import drawn_faces, files_of, own_seeds

NAMES = list(formats.BUILT_IN)


def written(folder: Path, name: str) -> dict[str, bytes]:
    fmt = formats.get(name)
    own_seeds(name, folder)  # draws the pictures
    with open_tree(folder / "source") as pictures:
        scheme = fmt.scheme or "ibug68"
        fmt.write(drawn_faces(scheme), folder / "again", get_scheme(scheme), pictures)
    return files_of(folder / "again")


def test_the_same_faces_give_the_same_bytes(tmp_path):
    first = {name: written(tmp_path / name / "first", name) for name in NAMES}
    np.ones(10_000_000).sum()  # other bytes in memory that is used again
    time.sleep(1.1)
    for name in NAMES:
        assert written(tmp_path / name / "second", name) == first[name], name
