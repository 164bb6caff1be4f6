"""``Format.scheme_in`` tells the scheme from the points of the files, in every format."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from flmd import formats
from flmd.curation.write_annotations import write_faces
from flmd.formats import Format
from flmd.schemes import get_scheme
from flmd.tree import FileTree, open_tree
from tests.fuzzing import drawn_faces

ANY_SCHEME = [name for name in formats.BUILT_IN if formats.get(name).scheme is None]
ONE_SCHEME = [name for name in formats.BUILT_IN if formats.get(name).scheme is not None]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("pictures")
    (base / "pictures").mkdir()
    for number in range(3):
        cv2.imwrite(str(base / f"pictures/p{number}.png"), np.full((96, 96, 3), 60 * number, np.uint8))
    return base


@pytest.mark.parametrize("scheme", ["ibug68", "wflw98", "points7", "points31"])
@pytest.mark.parametrize("name", ANY_SCHEME)
def test_a_format_of_any_scheme_counts_the_points(
    tmp_path: Path, pictures: Path, name: str, scheme: str
) -> None:
    fmt = formats.get(name)
    with open_tree(pictures) as tree:
        write_faces(
            drawn_faces(scheme), fmt, tmp_path / "out", get_scheme(scheme), pictures=tree, images="copy"
        )
    with open_tree(tmp_path / "out") as tree:
        assert fmt.scheme_in(tree, fmt.detect(tree).files) == scheme


@pytest.mark.parametrize("name", ONE_SCHEME)
def test_a_format_of_one_scheme_says_it_without_looking(tmp_path: Path, name: str) -> None:
    with open_tree(tmp_path) as tree:
        assert formats.get(name).scheme_in(tree, ()) == formats.get(name).scheme


def test_a_format_that_neither_has_a_scheme_nor_counts_does_not_invent_one(tmp_path: Path) -> None:
    class Uncounted(formats.get("pts").__class__):
        name = "uncounted"

        def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
            return Format.scheme_in(self, tree, files)

    with open_tree(tmp_path) as tree, pytest.raises(NotImplementedError, match="uncounted has no scheme"):
        Uncounted().scheme_in(tree, ())
