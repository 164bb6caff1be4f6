"""Items that orjson decodes are those of json, with the same errors, whatever the file holds."""

from __future__ import annotations

import io
import json
import math
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd import formats
from flmd.errors import InputError
from flmd.face import Face
from flmd.formats import label_studio_faces
from flmd.formats.common import json_fast, json_stream
from flmd.formats.common.json_stream import JsonStream
from flmd.formats.common.text_list import numbers
from flmd.formats.layout import LARGEST
from flmd.schemes import get_scheme
from flmd.tree import open_tree

HOSTILE = (
    "NaN", "-Infinity", "1e400", "-0", "-0.0", "18446744073709551615", "18446744073709551616", ".5",
    "-9223372036854775808", "-9223372036854775809", "0.00012345678901234567", "1" * 5000, '"\x01"',
    '"\\ud800"', '"\\ud83d\\ude00"', '"\udcff"', '"ä😀"', "\ufeff", '"\\u0000"', "01", "+1",
    "[" * 450 + "]" * 450,
    "[" * 1010 + "]" * 1010, "[" * 2000, "[1,]", "{,}", '[{"id": 2}, {"id": 3}]', '{"a": {"id": 1}, "a": 2}',
    '"}, {\\"id\\": 1"', "null", "]", "}],[{", "}, {", '"', "1],[2", '1}],[{"id": 5',
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(HOSTILE),
    st.recursive(
        st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "a"]), inner),
        max_leaves=5,
    ).map(json.dumps),
)
ITEMS = st.one_of(
    st.builds('{{"id": {}}}'.format, VALUES),
    st.builds('{{"id": 1, "a": {}, "id": {}}}'.format, VALUES, VALUES),
    st.builds('{{"b": {}}}'.format, VALUES),
    VALUES,
)


def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but ``json`` reads from here on."""
    monkeypatch.setattr(json_fast.Between, "usable", False)


def read(data: bytes) -> tuple[list[tuple[int, str]], str]:
    """Lines and texts of the items of a document, and the error that it ends with."""
    found: list[tuple[int, str]] = []
    try:
        document = JsonStream(io.BytesIO(data), "x.json")
        if document.kind == "array":
            found.extend((document.line, repr(item)) for item in document.items())
        elif document.kind == "object":
            for key in document.members():
                if document.at_array() and key != "passed over":
                    found.extend((document.line, repr(item)) for item in document.items())
    except InputError as error:
        return found, str(error)
    return found, ""


def both(read_it: Callable[[], Any]) -> tuple[Any, Any]:
    """What is read by orjson and ``json``, and by ``json`` alone."""
    fast = read_it()
    with pytest.MonkeyPatch.context() as patch:
        plain(patch)
        return fast, read_it()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(ITEMS, min_size=1, max_size=12),
    st.sampled_from([", ", ",\n", ",", " ,\r\n\t"]),
    st.integers(0, 99),
    st.integers(1, 300),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_document_has_the_items_and_the_error_that_json_gives(
    odd: list[str], between: str, seed: int, chunk: int, encoding: str
) -> None:
    """Odd items among alike ones, in one array or several, cut off or changed at a place."""
    draw = random.Random(seed)
    items = [f'{{"id": {i}, "a": [{i}.5, {{"id": 0}}]}}' for i in range(30)]
    for item in odd:
        items.insert(draw.randrange(len(items)), item)
    arrays = ["[" + between.join(items[i:j]) + "]" for i, j in ((0, 9), (9, 11), (11, None))]
    named = '{{"a": {}, "passed over": {}, "b": {}}}'.format(*arrays)
    text = "[" + between.join(items) + "]" if seed % 2 else named
    data = text.encode(encoding, "replace" if encoding == "utf-16" else "surrogateescape")
    if seed % 3 == 0:
        data = data[: draw.randrange(len(data))]
    elif seed % 3 == 1:
        at = draw.randrange(len(data))
        data = data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        fast, slow = both(lambda: read(data))
    assert fast == slow


def test_items_are_decoded_by_orjson_once_it_is_seen_what_stands_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded = []
    loads = json_fast.orjson.loads
    monkeypatch.setattr(json_fast.orjson, "loads", lambda text: decoded.append(text) or loads(text))
    item = '{"id": 1, "a": [1.5, "x}, {\\"id\\": "], "n": {"id": 2}}'
    assert len(read(f"[{','.join([item] * 9)}]".encode())[0]) == 9
    assert decoded == [item] * 7  # not the first, from which it is learnt, nor the last, which ends otherwise


@pytest.mark.parametrize(
    ("number", "left_to_json"),
    [
        ("0.00012345678901234567", False),
        ("9223372036854775807", False),
        ("-1234567890123456789", True),
        ("18446744073709551616", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_whole_numbers_beyond_64_bits_stay_whole(
    number: str, left_to_json: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    texts = ['{"id": 7, "a": 1}'] * 9 + [f'{{"id": {number}, "a": 1}}'] * 9  # known by then what lies between
    document = JsonStream(io.BytesIO(f"[{','.join(texts)}]".encode()), "x")
    assert [repr(item) for item in document.items()] == [repr(json.loads(text)) for text in texts]
    assert document._between._off == left_to_json


@pytest.mark.parametrize("brackets", [390, 1500])
def test_a_text_of_two_items_is_none(brackets: int) -> None:
    """Also where the item is wrapped in lists, of which a text could close one and open another."""
    item = f'{{"id": [{",".join(["[]"] * brackets)}]}}'
    text = f"[{','.join([item] * 4)}],[{','.join([item] * 4)}]"
    found, error = read(text.encode())
    assert len(found) == 4
    assert (
        error
        == f"x.json:1: broken JSON (',' where the end of the file belongs) at column {4 * len(item) + 6}"
    )


def test_an_item_above_the_bound_is_refused_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "LARGEST_ITEM", 1000)
    for length, refused in ((1000, False), (1001, True)):
        long = '{"id": "' + "a" * (length - 10) + '"}'
        data = (
            "[" + ", ".join(['{"id": "' + "b" * 300 + '"}'] * 5 + [long] + ['{"id": 1}'] * 5) + "]"
        ).encode()
        fast, slow = both(lambda data=data: read(data))
        assert fast == slow
        assert len(fast[0]) == (5 if refused else 11)
        assert fast[1].startswith("x.json:1: an item of more than 1000 characters") == refused


@pytest.mark.parametrize(
    ("start", "repeated"),
    [
        ('[{"id": 1}, {"id": 1}, ', '{"x": 1},'),  # what stood between two never comes again
        ('[{"id": 1}\n, {"id": 1}\n, ', '{"x":\n1},'),
        ('[{"id": 1}, {"id": 1}, ', '{"x": 1},{"x": 1},{"id": 1}, '),
    ],
)
def test_items_that_change_are_looked_through_a_few_times_only(
    start: str, repeated: str, monkeypatch
) -> None:
    """Characters that are sought through, not seconds: a file of other separators took a day."""
    sought = 0
    end_of = json_fast.Between.end_of

    def counted(self: json_fast.Between, text: str, at: int) -> int:
        nonlocal sought
        end = end_of(self, text, at)
        sought += (end if end > 0 else min(at + self.reach, len(text))) - at
        return end

    monkeypatch.setattr(json_fast.Between, "end_of", counted)
    data = (start + repeated * 20_000).rstrip(", ").encode() + b"]"
    found, error = read(data)
    assert (len(found), error) == (2 + 20_000 * repeated.count("{"), "")
    assert sought < 4 * len(data)


COCO_VALUES = (
    "null", '"2"', "true", "NaN", "1e39", "1e400", "-0", "3", "1.0", "0", "[]", "{}", "9" * 25, "[[[1]]]",
    '"\\ud800"', "1e-60",
)  # fmt: skip


def coco(draw: random.Random) -> str:
    """A small COCO file of five points, its values exchanged here and there."""
    point = [
        lambda: str(draw.randrange(100) / 4),
        lambda: str(draw.randrange(100)),
        lambda: draw.choice("0122"),
    ]
    annotations = []
    for number in range(12):
        numbers = [point[i % 3]() for i in range(15)]
        fields = {
            "id": str(number), "image_id": str(number // 3), "category_id": "1", "keypoints": "",
            "iscrowd": "0", "bbox": f"[{number}, 0.5, 30, 40]", "attributes": '{"n": [1]}',
            "flmd": '{"split": "val"}',
        }  # fmt: skip
        if draw.random() < 0.3:
            numbers[draw.randrange(15)] = draw.choice(COCO_VALUES)
        fields["keypoints"] = f"[{', '.join(numbers)}]"
        if draw.random() < 0.3:
            fields[draw.choice(list(fields))] = draw.choice(COCO_VALUES)
        annotations.append("{" + ", ".join(f'"{k}": {v}' for k, v in fields.items()) + "}")
    images = ", ".join(
        f'{{"id": {i}, "file_name": "a{i}.jpg", "width": 100, "height": 90}}' for i in range(3)
    )
    return f'{{"images": [{images}], "annotations": [{", ".join(annotations)}]}}'


def label_studio(draw: random.Random) -> str:
    """A few tasks of five points each, their values exchanged here and there."""
    tasks = []
    for number in range(8):
        regions = []
        for label in range(5):
            value = {
                "x": str(draw.randrange(400) / 4),
                "y": "20",
                "width": "0.5",
                "keypointlabels": f'["{label}"]',
            }
            fields = {
                "id": f'"p{label}"', "type": '"keypointlabels"', "original_width": "200",
                "original_height": "50", "image_rotation": "0",
            }  # fmt: skip
            for some in (value, fields):
                if draw.random() < 0.04:
                    odd = (*COCO_VALUES, '["1"]', '["9"]', '["1", "2"]', "[1]", '"0"', "200.0")
                    some[draw.choice(list(some))] = draw.choice(odd)
            texts = [", ".join(f'"{k}": {v}' for k, v in some.items()) for some in (fields, value)]
            regions.append(f'{{{texts[0]}, "value": {{{texts[1]}}}}}')
        result = ", ".join(regions)
        tasks.append(
            f'{{"id": {number}, "data": {{"image": "a.jpg"}}, "annotations": [{{"result": [{result}]}}]}}'
        )
    return f"[{', '.join(tasks)}]"


def faces(name: str, folder: Path) -> list[str]:
    """Everything that a format's reader yields, as text, and its error."""
    found = []
    with open_tree(folder) as tree:
        try:
            for face in formats.get(name).read(tree, get_scheme("points5"), ("x.json",)):
                found.append(
                    repr({k: getattr(face, k) for k in face.__slots__} if isinstance(face, Face) else face)
                )
        except InputError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize(("name", "drawn"), [("coco", coco), ("label-studio", label_studio)])
def test_a_format_gives_the_same_faces_and_errors(
    name: str, drawn: Callable[[random.Random], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = 0
    for seed in range(60):
        (tmp_path / "x.json").write_text(drawn(random.Random(seed)), encoding="utf-8")
        fast = faces(name, tmp_path)
        with monkeypatch.context() as patch:
            plain(patch)
            patch.setattr(label_studio_faces, "_plain_points", lambda *_: None)
            assert faces(name, tmp_path) == fast
        kept += sum("landmarks" in face for face in fast)
    assert kept > 100


CELLS = (
    "-0", "-0.0", "0", "1_0", "+1", ".5", "5.", " 7 ", "0x1",
    "1e400", "1e39", "nan", "null", "true", "", "1,2", "[1", "2]",
    '"a', 'b"', "[]", "123456789012345678901234567890", "18446744073709551615", "1e-400", "é",
    "\udcff",
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(CELLS) | st.floats().map(repr) | st.integers(-99, 99).map(str), max_size=6))
def test_numbers_of_texts_are_those_of_float(texts: list[str]) -> None:
    """Bit by bit, the sign of zero too; None for what float32 cannot hold or float alone would take."""
    try:
        expected = [float(text) for text in texts]
    except ValueError:
        expected = [math.inf]
    found = numbers(texts)
    if "_" in "".join(texts) or not all(abs(value) <= LARGEST for value in expected):
        assert found is None
    else:
        assert found is not None
        assert found.tobytes() == struct.pack(f"{len(texts)}d", *expected)
