"""YAML of a project is bounded before anything is built of it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from flmd.core import params, yaml_text
from flmd.core.yaml_text import YamlTextError
from flmd.errors import FlmdError
from flmd.experiments import dvc_lock
from flmd.schemes.name_choice import PointNames

ROOT = Path(__file__).resolve().parents[2]
LAUGHS = "a0: &a0 [lol]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
DEEP = "a: " + "[" * 5000 + "]" * 5000
DEEP_BLOCK = "".join(" " * i + "a:\n" for i in range(300))


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        (LAUGHS, "by its aliases", 7),
        (DEEP, "nested deeper than 100 levels", 0),
        (DEEP_BLOCK, "nested deeper than 100 levels", 101),
        ("- " * 300 + "a", "nested deeper than 100 levels", 1),
        ("a: &a [1, *a]", "names what it stands in", 1),
        ("x: &a [1]\ny: [" + ", ".join(["*a"] * 200) + "]", "more than 100 aliases", 2),
        ("a: *b", "undefined alias", 1),
        ("a: [1", "not valid YAML", 1),
        ("a: 1\nb: c: d", "not valid YAML", 2),
        (b"\xff\xfe\x00", "not valid YAML", 0),
        (b"\x80", "not valid YAML", 0),
    ],
)
def test_what_no_person_writes_is_refused_at_once(text: str | bytes, message: str, line: int) -> None:
    start = time.process_time()
    with pytest.raises(YamlTextError, match=message) as caught:
        yaml_text.read(text)
    assert caught.value.line == line
    assert "\n" not in caught.value.what
    assert time.process_time() - start < 5


def test_what_people_write_is_read() -> None:
    for name in ("params.yaml", "dvc.yaml"):
        data = (ROOT / name).read_bytes()
        assert yaml_text.read(data) == YAML(typ="safe").load(data)
    shared = "base: &base {lr: 0.1, steps: [1, 2]}\none: *base\ntwo:\n  <<: *base\n  lr: 0.2\n"
    found = yaml_text.read(shared)
    assert found["one"] == {"lr": 0.1, "steps": [1, 2]}
    assert found["two"] == {"lr": 0.2, "steps": [1, 2]}


TREES = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.text("ab[]{}&*-: \n'\"#", max_size=12)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=60)
@given(TREES)
def test_any_tree_of_a_few_levels_comes_back(tree: object) -> None:
    """As JSON, which YAML holds in it: ruamel cannot read all that it writes, ``top: {a: :-}`` for one."""
    assert yaml_text.read(json.dumps({"top": tree})) == {"top": tree}


@pytest.mark.parametrize("text", [LAUGHS, DEEP, DEEP_BLOCK, "a: &a [*a]", "\x00"])
def test_every_file_of_a_project_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    for read in (
        lambda: params.load(path),
        lambda: dvc_lock.parse_lock(text, "dvc.lock"),
        lambda: PointNames.parse(str(path)),
    ):
        with pytest.raises(FlmdError) as caught:
            read()
        assert "\n" not in str(caught.value)
