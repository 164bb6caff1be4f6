"""A model that knows the truth finds the labels that were spoilt, and says how."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flmd.curation.alignment import to_complex
from flmd.curation.audit import disagreement, suspect_list
from flmd.curation.audit.disagreement import Judged, disagreements, judge_labels, scores
from flmd.curation.audit.explanations import KINDS, left
from flmd.curation.audit.findings import Audit
from flmd.curation.audit.yardstick import Yardstick, root_mean_square
from flmd.errors import ParamsError
from flmd.schemes import IBUG68

Array = NDArray[np.float64]
COUNT, NOISE = 60, 0.01  # faces; noise of a label, over the size of the face
FLIP = IBUG68.flip_indices()


def arc(centre: tuple[float, float], radii: tuple[float, float], degrees: NDArray[np.generic]) -> Array:
    turns = np.deg2rad(degrees.astype(np.float64))
    return np.array(centre) + np.stack([radii[0] * np.cos(turns), radii[1] * np.sin(turns)], axis=1)


def face_shape(width: float, mouth: float, opened: float) -> Array:
    """68 points, a face 100 px wide: how wide the face and the mouth are, and how far that is open."""
    down = np.arange(5)[:, None]
    parts = [
        arc((0, 0), (50, 65), np.linspace(180, 0, 17)),
        arc((-22, -20), (14, 8), np.linspace(180, 360, 5)),
        arc((22, -20), (14, 8), np.linspace(180, 360, 5)),
        np.hstack([0 * down[:4], -10 + 6 * down[:4]]),
        np.hstack([-10 + 5 * down, 14 - np.abs(down - 2.0)]),
        arc((-22, -8), (8, 4), np.array([180, 240, 300, 360, 60, 120])),
        arc((22, -8), (8, 4), np.array([180, 240, 300, 360, 60, 120])),
        arc((0, 32), (18 * mouth, 7 + opened), np.arange(180, 540, 30)),
        arc((0, 32), (13 * mouth, 1 + opened), np.arange(180, 540, 45)),
    ]
    return np.asarray(np.concatenate(parts) * (width, 1))


@pytest.fixture(scope="module")
def truth() -> Array:
    """(60, 68, 2) faces of some shapes, sizes, turns and places."""
    rng = np.random.default_rng(1)
    shapes = [face_shape(*form) for form in ((1, 1, 0), (1.1, 0.8, 4), (0.9, 1.3, 8), (1, 0.7, 14))]
    out = []
    for n in range(COUNT):
        shape = shapes[n % 4] - shapes[n % 4].mean(axis=0) + rng.normal(0, 0.7, (68, 2))
        angle, scale = rng.uniform(-0.4, 0.4), rng.uniform(0.6, 1.6)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        out.append(shape @ turn.T + rng.uniform(200, 400, 2))
    return np.array(out)


def size_of(points: Array) -> Array:
    return np.asarray(np.sqrt(np.prod(points.max(axis=-2) - points.min(axis=-2), axis=-1)))


def labelled(truth: Array, seed: int = 0) -> Array:
    """Labels: the truth and noise of 1% of each face's size."""
    noise = np.random.default_rng(seed).normal(0, NOISE, truth.shape)
    return np.asarray(truth + noise * size_of(truth)[:, None, None])


def judged(labels: Array, predicted: Array, **changed: object) -> Judged:
    n = len(labels)
    names = [f"{i}.jpg" for i in range(n)]
    values = {
        "images": names,
        "splits": ["test"] * n,
        "groups": np.zeros(n, int),
        "judge": "oracle",
        **changed,
    }
    return Judged(np.arange(n), labels, predicted, scheme=IBUG68, **values)  # type: ignore[arg-type]


def test_a_deviation_is_the_distance_over_what_is_usual_for_the_point() -> None:
    """1000 faces of one shape of 100 px: noise of 1 px, of 4 px at jaw_3, all labels 2 px to the right."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(0, 100, (68, 2))
    shape[0], shape[1] = (0, 0), (100, 100)
    model = np.repeat(shape[None], 1000, axis=0)
    labels = model + rng.normal(0, 1, model.shape) + (2, 0)
    labels[:, 3] += rng.normal(0, 15**0.5, (1000, 2))
    labels[7, [3, 5]] = shape[[3, 5]] + (2, 20)
    stick = Yardstick.of(labels, model, np.zeros(1000, int), IBUG68)
    deviations = stick.deviations(to_complex(labels), np.arange(1000))
    assert deviations[7, 5] == pytest.approx(20, rel=0.06)
    assert deviations[7, 3] == pytest.approx(5, rel=0.06)
    # The distance of a normal distribution of two dimensions: median 1.177, root mean square 1.414.
    assert np.median(deviations) == pytest.approx(1.177, abs=0.02)
    assert np.median(root_mean_square(deviations)) == pytest.approx(2**0.5, abs=0.03)
    assert stick.expected(np.array([7]))[0] == pytest.approx(to_complex(shape + np.array([2, 0])), abs=0.6)


def test_along_a_loose_line_a_distance_counts_less_than_across_it() -> None:
    rng = np.random.default_rng(0)
    model = np.repeat(rng.uniform(0, 100, (1, 68, 2)), 2000, axis=0)
    labels = model + rng.normal(0, 1, model.shape) * (1, 5)
    labels[0, 0] = model[0, 0] + (15, 0)
    labels[1, 0] = model[1, 0] + (0, 15)
    stick = Yardstick.of(labels, model, np.zeros(2000, int), IBUG68)
    across, along = stick.deviations(to_complex(labels[:2]), np.arange(2))[:, 0]
    assert across / along == pytest.approx(5, rel=0.15)


def test_the_rest_is_the_fourth_root_of_the_mean_fourth_power() -> None:
    assert left(np.array([2.0, np.nan, 0.0])) == pytest.approx((16 / 2) ** 0.25)
    assert np.isnan(left(np.array([np.nan])))


def spoilt(kind: str, labels: Array, truth: Array) -> tuple[Array, str]:
    """Face 9 with a fault, and an expression for what the finding has to say."""
    labels, size = labels.copy(), size_of(truth[9])
    face = labels[9].copy()
    says = ""
    if kind == "swapped":
        face = face[FLIP]
    elif kind == "exchanged":
        face[[8, 30]] = face[[30, 8]]
        says = "^2 points: jaw_8, nose_bridge_3$"
    elif kind == "reordered":
        face[36:42] = np.roll(face[36:42], 1, axis=0)
        says = "6 points: right_eye_0, right_eye_1"
    elif kind == "wild_point":
        face[48] += 0.3 * size
        says = r"outer_lip_0, 4\d% of the face away"
    elif kind == "region":
        face[48:] += (0, 0.15 * size)
        says = r"mouth by 1[3-7]% of the face"
    elif kind == "some_points":
        face[3:8] += np.array([[0.1, 0], [0.2, 0], [0.3, 0], [0.2, 0], [0.1, 0]]) * size
        says = "5 of jaw"
    elif kind == "moved":
        face = (face - face.mean(axis=0)) * 1.1 + face.mean(axis=0) + (0.2 * size, 0)
        says = r"shifted by (19|2\d)% of the face, 1\.1\d times the size, turned by -?[012] degrees"
    else:
        face = labels[22]
        says = "those of 22.jpg"
    labels[9] = face
    return labels, says


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "other"])
def test_a_spoilt_label_comes_first_and_its_kind_is_told(kind: str, truth: Array) -> None:
    labels, says = spoilt(kind, labelled(truth), truth)
    found, _ = disagreements(judged(labels, truth))
    assert (found[0].row, found[0].kind) == (9, kind)
    assert re.search(says, found[0].says)
    assert all(item.row == 9 for item in found if item.score > 6)


def test_labels_that_are_only_noisy_are_not_listed(truth: Array) -> None:
    found, points = disagreements(judged(labelled(truth), truth))
    assert found == []
    assert points == []


def test_the_points_of_a_neighbour_in_the_picture_are_told_as_such(truth: Array) -> None:
    labels = labelled(truth)
    labels[9] = truth[22] + 0.01 * size_of(truth[22])
    names = [f"{i}.jpg" for i in range(COUNT)]
    names[9] = names[22]
    found, _ = disagreements(judged(labels, truth, images=names))
    assert (found[0].kind, found[0].says) == ("other_face", "of the same picture, those of 22.jpg")


def test_a_copied_label_is_told_wherever_it_was_put(truth: Array) -> None:
    """Face 23 has another shape than face 9; its label was laid, smaller, over face 9."""
    labels = labelled(truth)
    labels[9] = (labels[23] - labels[23].mean(axis=0)) * 0.8 + truth[9].mean(axis=0)
    found, _ = disagreements(judged(labels, truth))
    assert (found[0].row, found[0].kind) == (9, "other_face")
    assert found[0].says == "a copy of its label, those of 23.jpg"


def test_a_wrong_eye_is_not_crowded_out_by_loose_jaws(truth: Array) -> None:
    labels = labelled(truth)
    labels[:, :17] += np.random.default_rng(3).normal(0, 0.06, (COUNT, 17, 2)) * size_of(truth)[:, None, None]
    labels[9, 36] += 0.12 * size_of(truth[9])
    found, points = disagreements(judged(labels, truth))
    assert (found[0].row, found[0].kind, found[0].points[0]) == (9, "wild_point", "right_eye_0")
    assert (points[0].row, points[0].point) == (9, "right_eye_0")
    assert points[0].away == pytest.approx(0.12 * 2**0.5, abs=0.03)


def test_faces_that_a_model_learned_from_are_measured_by_each_other(truth: Array) -> None:
    """The labels of the second half are as the model has them, nearly: one of them that is not sticks out."""
    labels = labelled(truth)
    labels[30:] = truth[30:] + (labels[30:] - truth[30:]) * 0.2
    labels[40] = truth[40] + (labels[40] - truth[40]) * 4
    groups = np.repeat([0, 1], COUNT // 2)
    assert [item.row for item in disagreements(judged(labels, truth, groups=groups))[0]] == [40]
    assert disagreements(judged(labels, truth))[0] == []


def test_points_that_are_not_labelled_and_faces_that_were_not_found_take_no_part(truth: Array) -> None:
    labels, predicted = labelled(truth), truth.copy()
    labels[:, 60] = np.nan
    labels[3] = np.nan
    labels[4, 5:] = np.nan
    predicted[5] = np.nan
    labels[9, 8] += 0.4 * size_of(truth[9])
    given = judged(labels, predicted, splits=["train"] * COUNT)
    found = Audit("s.h5", COUNT, "ibug68", {})
    judge_labels(found, given)
    assert found.suspects[0].row == 9
    assert not {3, 5} & {item.row for item in found.suspects}
    assert any("60 of the 60 faces" in note and "--folds" in note for note in found.notes)
    assert any("1 faces were not judged" in note for note in found.notes)
    assert found.counts()["suspects"] == len(found.suspects)
    assert not found.clean


def test_no_face_at_all_and_one_face_are_no_crash(truth: Array) -> None:
    assert disagreements(judged(truth[:0], truth[:0])) == ([], [])
    assert disagreements(judged(truth[:1], truth[:1])) == ([], [])
    found = Audit("s.h5", 1, "ibug68", {})
    judge_labels(found, judged(truth[:1], truth[:1], unseen=True))
    assert found.notes == ["fewer than 30 faces were judged: how far points usually lie off is a guess"]


@pytest.mark.parametrize(("angle", "scale", "shift"), [(0.4, 1, 0), (-0.6, 0.1, 500), (0, 20, -300)])
def test_turning_scaling_and_shifting_a_picture_changes_no_score(
    truth: Array, angle: float, scale: float, shift: float
) -> None:
    labels = labelled(truth)
    labels[9, 8] += 0.4 * size_of(truth[9])
    plain = to_complex(labels), to_complex(truth)
    before = scores_of(*plain)
    turn = scale * np.exp(1j * angle)
    assert scores_of(*(p * turn + shift for p in plain)) == pytest.approx(before, abs=0.02)
    assert int(np.argmax(before)) == 9


def scores_of(labels: NDArray[np.complex128], predicted: NDArray[np.complex128]) -> Array:
    a, b = (np.stack([p.real, p.imag], axis=-1) for p in (labels, predicted))
    stick = Yardstick.of(a, b, np.zeros(len(a), int), IBUG68)
    return scores(stick.deviations(labels, np.arange(len(a))), stick.group)


def test_the_list_has_a_row_for_each_face_and_in_json_the_points_too(truth: Array, tmp_path: Path) -> None:
    labels, _ = spoilt("wild_point", labelled(truth), truth)
    found = Audit("folder/s.h5", COUNT, "ibug68", {})
    judge_labels(found, judged(labels, truth))
    suspect_list.write_list(found, tmp_path / "a" / "list.csv")
    lines = (tmp_path / "a" / "list.csv").read_text().splitlines()
    assert lines[0] == "image,face,split,kind,score,away,says,points"
    assert lines[1].startswith("9.jpg,9,test,wild_point,")
    assert len(lines) == 1 + len(found.suspects)
    suspect_list.write_list(found, tmp_path / "list.json", first=1)
    tree = json.loads((tmp_path / "list.json").read_text())
    assert (tree["store"], tree["judge"], len(tree["faces"])) == ("s.h5", "oracle", 1)
    assert tree["faces"][0]["points"][0] == "outer_lip_0"
    assert (tree["points"][0]["face"], tree["points"][0]["point"]) == (9, "outer_lip_0")
    with pytest.raises(ParamsError, match=r"list\.txt: what kind of list"):
        suspect_list.write_list(found, tmp_path / "list.txt")


def test_only_so_many_faces_are_explained(truth: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, _ = spoilt("swapped", labelled(truth), truth)
    monkeypatch.setattr(disagreement, "MOST_EXPLAINED", 0)
    found, _ = disagreements(judged(labels, truth))
    assert [(item.row, item.kind) for item in found[:1]] == [(9, "other")]
