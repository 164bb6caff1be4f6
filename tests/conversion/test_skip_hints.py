"""Every reason that a face is skipped for has a hint, and "no usable face" ends with those that apply."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import flmd
from flmd.conversion.converter import convert
from flmd.conversion.opening import open_faces
from flmd.conversion.skip_hints import HINTS, MOST_HINTS, NONE_FOUND, NOT_KNOWN, hint_of, hints
from flmd.errors import InputError
from flmd.face import Face

CALLS = ("SkipFace", "Skipped", "ImageError")


def reasons_in(tree: ast.AST) -> Iterator[str]:
    """What is given to a call of CALLS as its reason, and what a variable of that name can be."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "id", getattr(node.func, "attr", None))
            if called in CALLS and isinstance(node.args[0], ast.Constant):
                yield node.args[0].value
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "reason":
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant) and re.fullmatch("[a-z]+(_[a-z]+)+", str(part.value)):
                    yield part.value


def every_reason() -> set[str]:
    package = Path(flmd.__file__).parent
    return {r for path in package.rglob("*.py") for r in reasons_in(ast.parse(path.read_text("utf-8")))}


def test_no_reason_lacks_a_hint_and_no_hint_a_reason() -> None:
    found = every_reason()
    assert {"no_box", "short_row", "long_row", "image_truncated", "unknown_label"} <= found
    assert len(found) > 60
    assert found ^ set(HINTS) == set()


def test_the_most_frequent_come_first_and_each_hint_once() -> None:
    text = hints({"no_box": 1, "unknown_label": 7, "unknown_part": 2}, "annotated")
    assert text == f"{HINTS['unknown_label']}; {HINTS['no_box']}"
    assert hints({}, "annotated") == NONE_FOUND
    assert hint_of("a plugin's own") == NOT_KNOWN
    many = {"bad_header": 1, "no_box": 1, "image_missing": 1, "unknown_part": 1, "wrong_point_count": 1}
    first = ("bad_header", "image_missing", "no_box")
    assert len(first) == MOST_HINTS
    assert hints(many, "annotated") == "; ".join(HINTS[reason] for reason in first)


def test_a_box_that_cannot_be_made_is_not_told_to_make_it() -> None:
    assert "--box landmarks" in hint_of("no_box", "annotated")
    assert "--box landmarks" not in hint_of("no_box", "landmarks")
    assert "--box image" in hint_of("no_box", "landmarks")


def test_frames_of_a_video_beside_their_points(shared_data: Path, tmp_path: Path) -> None:
    """300-VW's frames as they are often unpacked: found, and without boxes of their own."""
    source = shared_data / "formats/frames_300vw"
    with open_faces(source) as faces:
        images = [face.image for face in faces if isinstance(face, Face)]
    assert images == [
        *("001/imgs/000006.jpg", "001/imgs/000009.jpg"),
        *("401/imgs/000731.jpg", "401/imgs/000732.jpg"),
    ]
    report = convert(source, tmp_path / "faces.h5")
    assert (report.read, report.kept) == (4, 4)
    with pytest.raises(InputError) as error:
        convert(source, tmp_path / "none.h5", box="annotated")
    assert str(error.value).endswith("skipped: no_box 4; --box landmarks draws one around the points")
