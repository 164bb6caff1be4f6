"""`flmd-data convert` and `detect` as a user calls them."""

from __future__ import annotations

import contextlib
import gc
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from flmd import formats
from flmd.conversion.opening import open_faces
from flmd.face import Face
from flmd.formats import get
from flmd.schemes import IBUG68
from flmd.store.face_store import FaceStore
from tests.factories import make_face, write_picture


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list of 12 faces of 6 people, the picture of the first one there."""
    faces = [make_face(f"p{i // 2}_{i}.png", seed=i, split="") for i in range(12)]
    for face in faces:
        face.landmarks = np.round(face.landmarks)
    get("dlib-xml").write(faces, tmp_path / "set" / "labels.xml", IBUG68)
    write_picture(tmp_path / "set" / "p0_0.png", np.zeros((90, 120, 3), np.uint8))
    return tmp_path / "set" / "labels.xml"


def faces_of(path: Path) -> list[Face]:
    with open_faces(path) as found:
        return [item for item in found if isinstance(item, Face)]


def test_annotations_alone_become_a_store(flmd_data, listed: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = flmd_data("convert", listed, tmp_path / "a.h5")
    assert done.code == 0
    assert "12 faces read, 1 kept, skipped: image_missing 11" in done.out
    done = flmd_data("convert", listed, tmp_path / "b.h5", "--images", "none", "--box", "landmarks")
    assert "12 faces read, 12 kept" in done.out
    read = faces_of(listed)
    with FaceStore(tmp_path / "b.h5") as store:
        assert not store.has_crops
        assert store.numbers("image_size").tolist() == [[120, 90]] + [[0, 0]] * 11
        low = np.array([f.landmarks.min(axis=0) for f in read])
        high = np.array([f.landmarks.max(axis=0) for f in read])
        assert np.array_equal(store.numbers("box"), np.hstack([low, high - low + 1]))
        assert set(store.texts("box_source")) == {"landmarks"}


def test_no_picture_at_all_says_what_to_do(flmd_data, listed: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (listed.parent / "p0_0.png").unlink()
    done = flmd_data("convert", listed, tmp_path / "a.h5")
    assert done.code == 2
    assert done.err.strip().endswith(
        "no usable face; skipped: image_missing 12; --pictures DIR says where the pictures are, "
        "--images none keeps the annotations alone"
    )


def test_pictures_may_lie_elsewhere(flmd_data, listed: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "elsewhere").mkdir()
    (listed.parent / "p0_0.png").rename(tmp_path / "elsewhere" / "p0_0.png")
    arguments = ("--to", "coco", "--pictures", tmp_path / "elsewhere", "--images", "copy")
    done = flmd_data("convert", listed, tmp_path / "out", *arguments)
    assert done.code == 0
    assert (tmp_path / "out" / "p0_0.png").exists()
    assert "missing: 11 pictures" in done.err


def test_text_to_text_with_new_splits(flmd_data, listed: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    arguments = ("--to", "coco", "--split", "subject", "--test", 0.4, "--subject-from", "^(p.)_", "--seed", 3)
    done = flmd_data("convert", listed, tmp_path / "x.json", *arguments)
    assert done.code == 0
    faces = faces_of(tmp_path / "x.json")
    assert len(faces) == 12
    sides = {side: {f.subject for f in faces if f.split == side} for side in ("train", "test")}
    assert sides["train"] | sides["test"] == {f"p{i}" for i in range(6)}
    assert not sides["train"] & sides["test"]
    assert sides["test"]


def test_strict_refuses_to_lose_and_says_what(flmd_data, listed: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    report = tmp_path / "loss.json"
    arguments = ("--to", "pts", "--strict", "--report", report)
    done = flmd_data("convert", listed, tmp_path / "out", *arguments)
    assert done.code == 2
    # Of pictures that are not there, the reader of .pts takes the ending to be .jpg.
    assert "lost: box of 12 faces, image name of 12 faces; leave out --strict" in done.err
    assert not (tmp_path / "out").exists()
    assert json.loads(report.read_text())["lost"] == {"box": 12, "image name": 12}
    assert flmd_data("convert", listed, tmp_path / "out", "--to", "coco", "--strict").code == 0


def test_the_other_base_and_another_scheme(flmd_data, listed: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    arguments = ("--base", 1, "--scheme", "ibug51", "--to", "coco")
    assert flmd_data("convert", listed, tmp_path / "x.json", *arguments).code == 0
    for before, after in zip(faces_of(listed), faces_of(tmp_path / "x.json"), strict=True):
        assert np.array_equal(after.landmarks, before.landmarks[17:] - 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--base", 2), "--base is 2; expected 0, 0.5 or 1"),
        (("--option", "units"), "--option units; expected NAME=VALUE, each name once"),
        (("--option", "units=1"), "dlib-xml has no option 'units'; expected none"),
        (("--scheme", "wflw98"), "scheme ibug68 lacks"),
        (("--scheme", "ibug86"), "did you mean 'ibug68'"),
        (("--images", "copy"), "--images copy, but DST is a store"),
        (("--from", "wflw"), "not wflw"),
        (("--to", "coc"), "unknown format 'coc'; expected one of .*; did you mean 'coco'"),
        (("--to", "celeba"), "celeba holds celeba5, but the faces are ibug68; add --scheme celeba5"),
        (("--split", "subjects"), "'--split'.* 'subjects' is not one of 'keep', .* 'subject'"),
        (("--box", "points"), "'--box'.* 'points' is not one of 'annotated', 'landmarks', 'image'"),
        (("--color", "gray"), "'--color'.* 'gray' is not one of 'rgb', 'grey'"),
        (("--images", "move"), "'--images'.* 'move' is not one of 'embed', 'copy', 'link', 'none'"),
        (("--crop-size", 7), "a crop of 7 pixels; expected 8 or more"),
        (("--margin", 0), "a margin of 0; expected above 0"),
        (("--val", 1), "val is a share of 1; expected 0 or more, below 1"),
    ],
)
def test_mistakes_are_one_line(flmd_data, listed: Path, tmp_path: Path, arguments, message: str) -> None:  # type: ignore[no-untyped-def]
    done = flmd_data("convert", listed, tmp_path / "x.h5", *arguments)
    assert done.code == 2
    (line,) = done.err.strip().splitlines()
    assert re.search(message, line), line
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_a_store_is_split_by_its_own_command(flmd_data, listed: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    flmd_data("convert", listed, tmp_path / "a.h5", "--images", "none")
    for asked in (("--split", "subject"), ("--val", 0.2)):
        for target in ("b.h5", "b.json"):
            done = flmd_data("convert", tmp_path / "a.h5", tmp_path / target, *asked)
            assert done.code == 2
            assert "use flmd-data split" in done.err


def test_a_store_is_cut_again_from_pictures_that_are_named(flmd_data, listed: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    flmd_data("convert", listed, tmp_path / "a.h5")
    done = flmd_data(
        "convert", tmp_path / "a.h5", tmp_path / "b.h5", "--pictures", listed.parent, "--crop-size", 32
    )
    assert (done.code, done.out) == (0, f"{tmp_path}/b.h5: 1 faces read, 1 kept\n")
    with FaceStore(tmp_path / "b.h5") as store:
        assert store.crop_spec.size == 32


def open_below(folder: Path) -> list[str]:
    """The files below a folder that this process holds open."""
    held = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the handle that lists them
            held.append(str(link.readlink()))
    return [name for name in held if name.startswith(f"{folder}/")]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="lists a process's open files")
def test_every_file_is_closed_at_the_end(flmd_data, listed: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as packed:
        packed.write(listed.parent / "p0_0.png", "p0_0.png")
    (listed.parent / "p0_0.png").unlink()
    with zipfile.ZipFile(tmp_path / "labels.zip", "w") as packed:
        packed.write(listed, "labels.xml")
    gc.disable()  # what is not closed stays open
    try:
        for target, arguments in (("a.h5", ()), ("b.json", ("--to", "coco", "--images", "copy"))):
            options = ("--pictures", tmp_path / "pictures.zip", "--workers", 1, *arguments)
            assert flmd_data("convert", tmp_path / "labels.zip", tmp_path / target, *options).code == 0
            assert open_below(tmp_path) == []
    finally:
        gc.enable()


def test_detect_names_the_format_and_why_the_others_do_not_fit(flmd_data, listed: Path) -> None:  # type: ignore[no-untyped-def]
    done = flmd_data("detect", listed.parent)
    assert done.code == 0
    first, near, more = done.out.splitlines()
    assert first.split()[:4] == ["dlib-xml", "certain", "1", "file:"]
    assert near.startswith("cvat")
    assert "labels.xml" in near
    assert more == f"{len(formats.names()) - 2} more do not fit; --all says why"
    first, *others = flmd_data("detect", listed.parent, "--all").out.splitlines()
    assert len(others) == len(formats.names()) - 1
    assert all(line.split()[1] == "no" and len(line.split()) > 3 for line in others)
    (listed.parent / "labels.xml").write_text("<x/>")
    done = flmd_data("detect", listed.parent)
    assert done.code == 1
    assert done.err.strip() == "no format fits"


def test_a_refusal_fits_on_a_line_and_says_where_the_rest_is_told(
    flmd_data, listed: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    listed.write_text("<x/>")
    for source in (listed, listed.parent):
        (line,) = flmd_data("convert", source, tmp_path / "a.h5").err.strip().splitlines()
        assert "no known format fits; nearest: dlib-xml: " in line
        assert f"flmd-data detect --all {source} says it of all" in line
        assert len(line) < 600 + 2 * len(str(source))


def test_a_store_goes_to_an_address_and_comes_from_one(flmd_data, listed: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    address = f"file://{tmp_path}/there/a.h5"
    assert flmd_data("convert", listed, address, "--images", "none").code == 0
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["a.h5"]
    assert flmd_data("convert", address, tmp_path / "b.json", "--to", "coco").code == 0
    assert len(faces_of(tmp_path / "b.json")) == 12
    assert flmd_data("convert", listed, address, "--images", "none").code == 2
