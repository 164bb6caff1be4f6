"""``python -m benchmarks.agreement``: which pictures it takes, what it calls a difference, how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import agreement, four_ways
from benchmarks.agreement import compared, listed, pick
from flmd.errors import InputError
from tests.app.made_model import make_model

JPEG = b"\xff\xd8\xff"


def paths(folder: str, count: int) -> list[Path]:
    return [Path(f"{folder}/{number:03d}.jpg") for number in range(count)]


def test_pictures_are_spread_over_each_list_and_short_lists_give_all() -> None:
    few, many = paths("few", 3), paths("many", 100)
    picked, faceless = pick([many, few], 13, lambda path: True, seed=7)
    assert picked[10:] == few  # in the lists' order
    assert [many.index(path) // 10 for path in picked[:10]] == list(range(10))
    assert faceless == []
    assert pick([many, few], 13, lambda path: True, seed=7)[0] == picked
    assert pick([many, few], 13, lambda path: True, seed=8)[0] != picked


def test_a_picture_without_a_face_is_replaced_by_its_neighbour_and_named() -> None:
    files = paths("a", 40)
    picked, faceless = pick([files], 10, lambda path: int(path.stem) % 2 == 1, seed=1)
    assert [files.index(path) // 4 for path in picked] == list(range(10))
    assert all(int(path.stem) % 2 for path in picked)
    assert faceless
    assert not any(int(path.stem) % 2 for path in faceless)


def test_what_a_list_lacks_the_longer_ones_give() -> None:
    blank, faces = paths("blank", 5), paths("faces", 50)
    picked, faceless = pick([blank, faces], 20, lambda path: path in faces, seed=1)
    assert len(picked) == 20
    assert sorted(faceless) == blank


def test_too_few_faces_are_an_error() -> None:
    with pytest.raises(InputError, match="a face in 2 pictures, 1 without; expected 4 with one"):
        pick([paths("a", 3)], 4, lambda path: path.stem != "000", seed=1)


def test_pictures_are_known_by_their_bytes_and_taken_once(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name, data in (
        ("b.jpg", JPEG),
        ("a", JPEG),
        ("deep/c.png", JPEG),
        ("d.jpg", b"text"),
        ("e.ppm", b"P6"),
    ):
        (tmp_path / name).write_bytes(data)
    found = listed([str(tmp_path), str(tmp_path / "b.jpg")])
    assert [[path.name for path in files] for files in found] == [["b.jpg"], ["a", "c.png"]]
    with pytest.raises(InputError, match="no such file or folder"):
        listed([str(tmp_path / "gone")])


def test_a_difference_is_the_longest_way_of_a_point() -> None:
    points = np.zeros((2, 5, 2), np.float32)
    moved = points.copy()
    moved[1, 3] = 3e-4, 4e-4
    (row,) = compared({"a": points}, {"a": moved})
    assert row.px == pytest.approx(5e-4)
    assert row.agrees
    moved[0, 0] = 0, -2e-3
    (row,) = compared({"a": points}, {"a": moved})
    assert row.px == pytest.approx(2e-3)
    assert not row.agrees
    (nan,) = compared({"a": points}, {"a": points * np.nan})
    assert not nan.agrees


@pytest.mark.parametrize("other", [{}, {"a": np.zeros((1, 5, 2), np.float32)}], ids=["none", "one"])
def test_another_number_of_faces_is_no_agreement(other: four_ways.Points) -> None:
    (row,) = compared({"a": np.zeros((2, 5, 2), np.float32)}, other)
    assert (row.expected, row.faces, row.px, row.agrees) == (2, len(other), None, False)


def test_the_exit_status_says_whether_all_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other ways played by stand-ins; tests/app/test_page.py goes them."""
    import cv2

    model = make_model(tmp_path / "tiny.pt")
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (60, 60, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"pictures/{number}.png"), pixels)
    off = 0.0

    def stand_in(used: Path, pictures: list[Path], detector: str, place: Path) -> four_ways.Points:
        make_model(model, seed=1)  # a training writes its file anew: the comparison is of the model that was
        return {
            name: p + np.float32(off) for name, p in four_ways.by_python(used, pictures, detector).items()
        }

    for way in ("by_command", "by_onnx", "by_app"):
        monkeypatch.setattr(four_ways, way, stand_in)

    def status(*options: str) -> object:
        arguments = [str(model), str(tmp_path / "pictures"), "--out", str(tmp_path / "out.json"), *options]
        monkeypatch.setattr(sys, "argv", ["agreement", *arguments])
        with pytest.raises(SystemExit) as ended:
            agreement.main()
        return ended.value.code

    assert status("--detector", "none", "--pictures", "2") == 0
    assert "| web page | 2 | 2 | 0 | 0 | 0 |" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["agrees"] is True
    off = 0.01
    assert status("--detector", "none", "--pictures", "2") == 1
    said = capsys.readouterr().out
    assert "| ONNX Runtime | 2 | 2 | 0 | 0.014 | 2 |" in said
    assert f"web page: {tmp_path / 'pictures'}" in said
    assert "not all within 0.001 px" in said
    assert json.loads((tmp_path / "out.json").read_text())["agrees"] is False
    assert status("--detector", "none", "--pictures", "9") == 2
    assert status("--detector", "boxes.csv") == 2
    assert "expected one of the page: haar, none, yunet" in capsys.readouterr().err
