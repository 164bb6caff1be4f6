"""Conversion: geometry to 0.05 px, every face accounted for, the same bytes with any number of workers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flmd.core import geometry
from flmd.errors import InputError, ParamsError
from flmd.face import Face, Skipped, visibility_of
from flmd.store.face_store import FaceStore
from tests.factories import blob_picture, centroid, convert_list, make_face, write_picture

near_crop = st.floats(0.35, 0.65)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    x=st.floats(-30, 60),
    y=st.floats(-30, 60),
    width=st.floats(40, 500),
    height=st.floats(40, 500),
    u=near_crop,
    v=near_crop,
    kind=st.sampled_from([".jpg", ".png"]),
)
def test_a_blob_and_its_point_agree_in_the_context_crop(
    tmp_path: Path, x: float, y: float, width: float, height: float, u: float, v: float, kind: str
) -> None:
    point = (x + width * u, y + height * v)
    sigma = max(3.0, max(width, height) * 2.4 / 64 * 2)
    size = (600, 620)
    if not (5 * sigma < point[0] < size[0] - 5 * sigma and 5 * sigma < point[1] < size[1] - 5 * sigma):
        return
    write_picture(tmp_path / f"a{kind}", blob_picture(*size, point, sigma))
    face = make_face(f"a{kind}", box=(x, y, width, height))
    face.landmarks[:] = point
    _, store = convert_list(tmp_path, [face], tmp_path / "s.h5")
    with store:
        placed = geometry.apply(store.numbers("affine")[0], store.numbers("landmarks")[0])[0]
        drawn = centroid(store.crops[0][1])
    # float32 landmarks of up to 600 px are good to 3e-5 px.
    assert drawn == pytest.approx(tuple(placed), abs=0.05)


def picture(folder: Path, name: str, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    write_picture(folder / name, rng.integers(0, 255, (110, 130, 3), dtype=np.uint8))


def test_store_holds_what_was_read(tmp_path: Path) -> None:
    picture(tmp_path, "one.png")
    face = make_face("one.png", subject="anna", split="test")
    face.landmarks[3] = np.nan
    face.visibility = visibility_of(face.landmarks)
    face.visibility[5] = 1
    face.attributes = {"pose": 0.5, "label": "é"}
    expected = face.landmarks.copy()
    _, store = convert_list(tmp_path, [face], tmp_path / "s.h5")
    with store:
        (back,) = store.faces()
        assert store.made_from == {"test": True}
    np.testing.assert_array_equal(back.landmarks, expected)
    assert back.visibility[[3, 5, 6]].tolist() == [0, 1, 2]
    assert (back.subject, back.split, back.dataset, back.box_source) == ("anna", "test", "test", "annotated")
    assert back.image_size == (130, 110)
    assert back.attributes == {"pose": 0.5, "label": "é"}
    assert back.box is not None
    assert back.box.tolist() == [40, 30, 41, 41]


def test_same_bytes_with_one_and_four_workers_and_on_two_runs(tmp_path: Path) -> None:
    faces = []
    for i in range(90):
        picture(
            tmp_path, f"{i % 70:03d}.jpg", seed=i % 70
        )  # some pictures hold two faces, far apart in the list
        faces.append(make_face(f"{i % 70:03d}.jpg", subject=f"s{i % 20}", seed=i))
    digests = set()
    for run, workers in enumerate((1, 4, 4)):
        target = tmp_path / "out" / f"{run}.h5"
        _, store = convert_list(tmp_path, faces, target, workers=workers, split="subject", val=0.2)
        store.close()
        digests.add(target.read_bytes())
    assert len(digests) == 1


def test_every_bad_face_is_a_counted_skip_and_good_ones_survive(tmp_path: Path) -> None:
    picture(tmp_path, "good.jpg")
    (tmp_path / "zero.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:900])
    write_picture(tmp_path / "dot.png", np.zeros((1, 1, 3), np.uint8))
    lost = make_face("good.jpg")
    lost.landmarks[:] = np.nan
    lost.visibility[:] = 0
    faces: list[Face | Skipped] = [
        make_face("missing.jpg"),
        make_face("zero.jpg"),
        make_face("text.jpg"),
        make_face("cut.jpg"),
        make_face("dot.png"),
        make_face("good.jpg", box=None),
        make_face("good.jpg", box=(900, 900, 50, 50)),
        lost,
        Skipped("wrong_point_count", "a.xml:3", "67 points"),
        make_face("good.jpg"),
    ]
    report = tmp_path / "reports" / "r.json"
    account, store = convert_list(tmp_path, faces, tmp_path / "s.h5", report=report)
    store.close()
    assert (account.read, account.kept) == (10, 1)
    assert dict(account.skipped) == {
        "image_missing": 1,
        "image_empty": 1,
        "image_unknown": 1,
        "image_truncated": 1,
        "image_too_small": 1,
        "no_box": 1,
        "box_outside": 1,
        "no_landmarks": 1,
        "wrong_point_count": 1,
    }
    written = json.loads(report.read_text())
    assert written["faces_skipped"] == 9
    assert written["skipped"]["wrong_point_count"]["first"] == ["a.xml:3: 67 points"]
    assert "missing.jpg" in written["skipped"]["image_missing"]["first"][0]


def test_strict_stops_at_the_first_bad_face_and_keeps_the_old_store(tmp_path: Path) -> None:
    picture(tmp_path, "good.jpg")
    target = tmp_path / "s.h5"
    convert_list(tmp_path, [make_face("good.jpg")], target)[1].close()
    before = target.read_bytes()
    with pytest.raises(InputError, match=r"missing\.jpg"):
        convert_list(tmp_path, [make_face("good.jpg"), make_face("missing.jpg")], target, strict=True)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".tmp"] == []


def test_no_usable_face_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no usable face.*image_missing 1"):
        convert_list(tmp_path, [make_face("gone.jpg")], tmp_path / "s.h5", report=tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["skipped"]["image_missing"]["count"] == 1
    assert not (tmp_path / "s.h5").exists()


def test_a_reader_that_fails_half_way_leaves_no_store(tmp_path: Path) -> None:
    picture(tmp_path, "good.jpg")

    class Breaks(list):  # type: ignore[type-arg]
        def __iter__(self):  # type: ignore[no-untyped-def]
            yield make_face("good.jpg")
            raise InputError("it ends early", where="a.xml:9")

    from tests import factories

    broken = factories.ListFormat([])
    broken.faces = Breaks()
    monkey = pytest.MonkeyPatch()
    monkey.setattr(factories, "ListFormat", lambda faces: broken)
    with monkey.context(), pytest.raises(InputError, match="a.xml:9: it ends early"):
        convert_list(tmp_path, [], tmp_path / "s.h5")
    monkey.undo()
    assert not (tmp_path / "s.h5").exists()


def test_box_policies(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    boxes = {}
    for policy in ("annotated", "landmarks", "image"):
        face = make_face("a.png")
        face.landmarks[:] = np.nan
        face.landmarks[:2] = [[20, 30], [59, 44]]
        face.visibility = visibility_of(face.landmarks)
        _, store = convert_list(tmp_path, [face], tmp_path / f"{policy}.h5", box=policy)
        with store:
            boxes[policy] = store.numbers("box")[0].tolist()
            assert store.texts("box_source") == [policy]
    assert boxes == {"annotated": [40, 30, 41, 41], "landmarks": [20, 30, 40, 15], "image": [0, 0, 130, 110]}


def test_report_counts_points_outside_shared_subjects_and_duplicates(tmp_path: Path) -> None:
    picture(tmp_path, "a.png", 1)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    picture(tmp_path, "c.png", 2)
    outside = make_face("c.png", subject="x", split="test")
    outside.landmarks[0] = [-0.6, 5]
    outside.landmarks[1] = [129.4, 109.4]  # the last pixel reaches to 129.5, 109.5
    outside.landmarks[2] = [5, 109.6]
    faces = [
        make_face("a.png", subject="x", split="train"),
        make_face("b.png", subject="y", split="test"),
        outside,
    ]
    account, store = convert_list(tmp_path, faces, tmp_path / "s.h5", split="published")
    store.close()
    found = account.as_dict()
    assert found["points_outside_image"] == {"points": 2, "faces": 1}
    assert found["subjects_shared"]["train-test"] == {"count": 1, "first": ["x"]}
    assert found["duplicate_pictures"]["groups"] == 1
    assert found["duplicate_pictures"]["first_across_splits"] == [["a.png", "b.png"]]


def test_published_split_needs_one(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    with pytest.raises(ParamsError, match="publish no split.*split: subject"):
        convert_list(tmp_path, [make_face("a.png", split="")], tmp_path / "s.h5", split="published")
    with pytest.raises(ParamsError, match="no standard split"):
        convert_list(tmp_path, [make_face("a.png")], tmp_path / "s.h5", split="standard")


def test_grey_store_is_the_grey_of_the_colour_store(tmp_path: Path) -> None:
    import cv2

    picture(tmp_path, "a.png")
    _, colour = convert_list(tmp_path, [make_face("a.png")], tmp_path / "c.h5", color="rgb")
    _, grey = convert_list(tmp_path, [make_face("a.png")], tmp_path / "g.h5", color="grey")
    with colour, grey:
        packed = np.ascontiguousarray(colour.crops[0].transpose(1, 2, 0))
        assert (grey.crops[0] == cv2.cvtColor(packed, cv2.COLOR_RGB2GRAY)).all()


def test_pictures_over_the_limit_are_skipped_undecoded(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    picture(tmp_path, "b.png")
    with pytest.raises(InputError, match="image_too_large 1"):
        convert_list(tmp_path, [make_face("a.png")], tmp_path / "s.h5", max_pixels=1000)


def test_opening_a_store_reads_no_pixels(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    _, store = convert_list(tmp_path, [make_face("a.png")], tmp_path / "s.h5")
    with store:
        assert isinstance(store.crops, np.memmap)
        offset = store._file.get("crops").dataset.place
        assert offset % 4096 == 0
        raw = store.path.read_bytes()[offset : offset + store.crops.nbytes]
        assert raw == store.crops.tobytes()
    assert isinstance(FaceStore(store.path), FaceStore)
