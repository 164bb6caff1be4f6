"""The streaming reader agrees with json.load, and says where broken JSON breaks."""

from __future__ import annotations

import contextlib
import io
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import InputError
from flmd.formats.common import json_stream
from flmd.formats.common.json_stream import JsonStream, outline

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def streamed(data: bytes) -> object:
    """The whole document, put together from its items."""
    document = JsonStream(io.BytesIO(data), "x.json")
    if document.kind == "array":
        return list(document.items())
    return {
        key: list(document.items()) if document.at_array() else document.value() for key in document.members()
    }


@settings(max_examples=150, deadline=None)
@given(
    st.lists(VALUES, max_size=5) | st.dictionaries(st.text(), VALUES, max_size=5),
    st.sampled_from([None, 1]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.integers(1, 9),
)
def test_streamed_equals_json_load_at_any_chunk_size(document, indent, encoding, chunk) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    if any("\ud800" <= c <= "\udfff" for c in text):
        return
    before, json_stream._CHUNK = json_stream._CHUNK, chunk
    try:
        assert streamed(text.encode(encoding)) == document
    finally:
        json_stream._CHUNK = before


def test_numbers_cut_by_a_chunk_are_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", 1)
    assert streamed(b"[12.5e+1, -0.25, 1E2, 7]") == [125.0, -0.25, 100.0, 7]


def test_members_that_nobody_asks_for_are_passed_over() -> None:
    document = JsonStream(
        io.BytesIO(b'{"a": [1, {"b": 2}], "c": {"d": [3], "e": 4}, "f": "g", "h": [5]}'), "x"
    )
    found = [(key, list(document.items())) for key in document.members() if key == "h"]
    assert found == [("h", [5])]


def test_line_is_that_of_the_item() -> None:
    document = JsonStream(io.BytesIO(b'{\n"a": [\n{"b":\n1},\n{"b": 2}]}'), "x")
    lines = [document.line for key in document.members() for _ in document.items()]
    assert lines == [3, 5]


def test_constants_that_are_no_json_arrive_as_words() -> None:
    assert streamed(b"[NaN, -Infinity, 1]") == ["NaN", "-Infinity", 1]


def test_a_repeated_key_of_an_item_has_its_last_value() -> None:
    assert streamed(b'[{"a": 1, "a": 2}]') == [{"a": 2}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": [1,\n2 3]}', "x.json:2: broken JSON ('3' where a comma or ] belongs) at column 3"),
        (b'{"a": [1,\n {"b" 2}]}', "x.json:2: broken JSON (Expecting ':' delimiter) at column 7"),
        (b'{"a": [1, {"b": [1, 2', "x.json:1: broken JSON (Expecting ',' delimiter) at column 22; the file"),
        (b'{"a": [1, 2', "x.json:1: it ends before a comma or ] at column 12; the file seems to be cut off"),
        (b"[1] 2", "x.json:1: broken JSON ('2' where the end of the file belongs) at column 5"),
        (b"[" * 200_000, "x.json:1: nested too deeply at column 2"),
        (b"[" + b"1" * 5000 + b"]", "x.json:1: a number that cannot be read"),
        (b"\xff\xfe[\x00\x00", "x.json:1: not UTF-16 text"),
    ],
)
def test_broken_json_says_where(data: bytes, message: str) -> None:
    with pytest.raises(InputError) as error:
        streamed(data)
    assert str(error.value).startswith(message)


def test_an_item_beyond_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "LARGEST_ITEM", 1000)
    with pytest.raises(InputError, match="x.json:2: an item of more than 1000 characters at column 1"):
        streamed(b'[1,\n"' + b"a" * 300_000 + b'"]')


def test_outline_names_first_items_of_a_cut_document() -> None:
    kind, first = outline(b'{"info": {"a": [9]}, "images": [{"id": 1}, {"id": 2}], "annotations": [{"id"')
    assert kind == "object"
    assert first == {"info": [], "images": [{"id": 1}], "annotations": []}


def test_random_damage_ends_in_values_or_input_error() -> None:
    good = json.dumps({"a": [{"b": [1.5, 2, None], "c": "ä\n"}] * 3, "d": True}).encode()
    draw = random.Random(0)
    for _ in range(500):
        data = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        with contextlib.suppress(InputError):
            streamed(bytes(data[: draw.randint(1, len(data))]))


BIG = '{"id": 1, "a": [1.5, "x}, {\\"id\\": "], "n": {"id": 2}}'


@pytest.mark.parametrize("between", [", ", ",\n", ",", " ,\n\t"])
@pytest.mark.parametrize(
    "odd",
    [
        "null",
        "7",
        '{"a": 1}',
        '{"id": NaN}',
        '{"id": 99999999999999999999}',
        '{"id": -9999999999999999999, "b": 0.5}',
        '{"id": "\\ud800"}',
        '{"id": 1, "l": [{"id": 2}, {"id": 3},\n{"id": 4}]}',
    ],
)
def test_items_that_follow_each_other_alike_are_those_of_json(between: str, odd: str) -> None:
    """Quickly decoded items, one that is different among them, and the lines of all."""
    items = [BIG] * 4 + [odd] + [BIG.replace("1.5", str(i)) for i in range(40)]
    text = "[" + between.join(items) + "]"
    document = JsonStream(io.BytesIO(text.encode()), "x")
    found = [(document.line, repr(item)) for item in document.items()]
    lines = [
        text.count("\n", 0, text.index("[") + 1 + sum(len(i) + len(between) for i in items[:n])) + 1
        for n in range(45)
    ]
    assert found == [
        (line, repr(json.loads(item, parse_constant=str))) for line, item in zip(lines, items, strict=True)
    ]


@pytest.mark.parametrize("broken", ['{"id": 1,}', '{"id": 1', "{'id': 1}"])
def test_a_broken_item_among_others_is_said_with_its_line(broken: str) -> None:
    text = "[" + ",\n".join([BIG] * 5 + [broken, BIG]) + "]"
    found = []
    with pytest.raises(InputError, match="x:[67]: broken JSON"):
        found.extend(JsonStream(io.BytesIO(text.encode()), "x").items())
    assert len(found) == 5
