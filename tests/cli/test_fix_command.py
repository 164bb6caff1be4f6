"""`flmd-data fix` as a user calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flmd import formats
from flmd.conversion.face_source import StoredFaces
from flmd.curation.corrections import crops_of
from flmd.curation.write_annotations import write_faces
from flmd.face import Face
from flmd.store.face_store import FaceStore
from tests.cli.conftest import Outcome
from tests.factories import convert_list, make_face, write_picture


@pytest.fixture
def corrected(tmp_path: Path) -> Path:
    """faces.h5 with two faces, and c.xml in which a point of the first, and of a third, is moved."""
    write_picture(tmp_path / "a.png", np.zeros((120, 120, 3), np.uint8))
    write_picture(tmp_path / "b.png", np.zeros((120, 120, 3), np.uint8))
    store = convert_list(tmp_path, [make_face("a.png"), make_face("b.png")], tmp_path / "faces.h5")[1]
    faces, pictures = crops_of(StoredFaces("", store), {0: {}, 1: {}})
    first, second = (face for face in faces if isinstance(face, Face))
    first.landmarks[8] += 3
    second.image = "nobody.png"
    write_faces([first], formats.get("cvat"), tmp_path / "c.xml", store.scheme, pictures=pictures)
    both = tmp_path / "both.xml"
    write_faces([first, second], formats.get("cvat"), both, store.scheme, pictures=pictures)
    return tmp_path


def test_it_says_what_changed_and_ends_with_0(corrected: Path, flmd_data: Callable[..., Outcome]) -> None:
    new = corrected / "new.h5"
    done = flmd_data("fix", corrected / "faces.h5", corrected / "c.xml", "-o", new)
    assert done.code == 0
    assert done.out.splitlines() == [
        f"{new}: 1 faces changed, 0 of the 1 corrected as before",
        "points: 1 moved",
    ]
    with FaceStore(new) as store:
        assert store.made_from["inputs"].keys() == {"faces.h5", "c.xml"}


def test_what_fits_no_face_ends_with_2_and_left_out_with_1(
    corrected: Path, flmd_data: Callable[..., Outcome]
) -> None:
    call = ("fix", corrected / "faces.h5", corrected / "both.xml", "-o", corrected / "new.h5")
    refused = flmd_data(*call)
    assert (refused.code, refused.out) == (2, "")
    assert len(refused.err.splitlines()) == 1
    assert "1 of 2 corrections not used: nobody.png" in refused.err
    assert not (corrected / "new.h5").exists()
    done = flmd_data(*call, "--skip-unmatched", "--json")
    assert done.code == 1
    told = json.loads(done.out)
    assert (told["changed"], [u["image"] for u in told["unmatched"]]) == (1, ["nobody.png"])
    assert flmd_data(*call, "--skip-unmatched").err.count("exists already") == 1


def test_mistakes_are_one_line(corrected: Path, flmd_data: Callable[..., Outcome]) -> None:
    store, new = corrected / "faces.h5", ("-o", corrected / "new.h5")
    five = corrected / "five.csv"
    five.write_text("image,x0,y0\n")
    for arguments, said in (
        ((store, corrected / "none.xml", *new), "no such file"),
        ((store, corrected / "c.xml", *new, "--overlap", "0"), "--overlap is 0"),
        ((corrected / "c.xml", corrected / "c.xml", *new), "c.xml"),
        ((store, corrected / "a.png", *new), "a.png"),
    ):
        done = flmd_data("fix", *arguments)
        assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
        assert said in done.err
    assert not (corrected / "new.h5").exists()
