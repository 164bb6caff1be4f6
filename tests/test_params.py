"""params.yaml: every mistake is one line that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flmd.core import params
from flmd.errors import ParamsError

ROOT = Path(__file__).resolve().parents[1]


def tree() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")
    return loaded


def changed(key: str, value: object) -> dict[str, Any]:
    made = tree()
    at: Any = made
    *path, last = key.split("/")
    for part in path:
        at = at[part]
    at[last] = value
    return made


def test_the_projects_own_file_is_good() -> None:
    loaded = params.load(ROOT / "params.yaml")
    assert loaded.augment.reach() <= loaded.convert.margin


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train/epoch", 3, r"unknown key 'train.epoch'; did you mean 'epochs'"),
        ("sed", 3, r"unknown key 'sed'; did you mean 'seed'"),
        ("datasets/ibug300w/surce", "x", r"'datasets.ibug300w.surce'; did you mean 'source'"),
        ("augment/input_size", -64, r"augment.input_size is -64; expected greater than 0"),
        ("convert/crop_size", "big", r"convert.crop_size is 'big'; expected"),
        ("augment/flip", 1.5, r"augment.flip is 1.5; expected less than or equal to 1"),
        ("datasets/ibug300w/box", "round", r"box is 'round'; expected 'auto', 'annotated', 'landmarks'"),
        ("train/datasets", ["nobody"], r"train.datasets: 'nobody' is not a data set; known: ibug300w"),
        ("augment/scale", 0.4, r"convert.margin: .* too small .* set it to at least"),
        ("train/lr", float("nan"), r"train.lr is nan"),
        ("convert/color", "grey", None),
        ("datasets/ibug300w/sample_faces", 9, r"'datasets.ibug300w.sample_faces'; write source: \{sample: "),
        ("datasets/ibug300w/source", {"sample": 0}, r"source is \{'sample': 0\}; expected official, sample"),
        ("datasets/ibug300w/source", 3, r"datasets.ibug300w.source is 3; expected official, sample"),
        ("datasets/a.b", {"source": "x"}, r"datasets: 'a.b' is no name; expected letters"),
        ("datasets", {}, r"datasets: there is none; add one with `flmd dataset add"),
    ],
)
def test_mistakes(key: str, value: object, message: str | None) -> None:
    made = changed(key, value)
    if message is None:
        assert params.parse(made)
        return
    with pytest.raises(ParamsError, match=message) as caught:
        params.parse(made, where="params.yaml")
    assert str(caught.value).startswith("params.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_misspelt_key_is_named_even_among_other_mistakes() -> None:
    made = changed("train/lr", -1)
    made["train"]["bach"] = 3
    with pytest.raises(ParamsError, match=r"'train.bach' \(and 1 more\); did you mean 'batch'"):
        params.parse(made)


def test_colour_for_the_network_needs_colour_crops() -> None:
    made = changed("augment/color", "rgb")
    made["convert"]["color"] = "grey"
    with pytest.raises(ParamsError, match="set convert.color: rgb"):
        params.parse(made)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: [1", r"params.yaml:\d+: not valid YAML"),
        ("- 1\n- 2\n", "not a mapping of sections"),
        ("", "not a mapping of sections"),
        ("seed: 1\nseed: 2\n", "not valid YAML: found duplicate key"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message):
        params.load(tmp_path / "params.yaml")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such file; run from the project's folder"):
        params.load(tmp_path / "params.yaml")


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    """YAML 1.2, as DVC: 1e-3 is a number."""
    text = (ROOT / "params.yaml").read_text().replace("lr: 1.0e-3", "lr: 1e-3")
    (tmp_path / "params.yaml").write_text(text)
    assert params.load(tmp_path / "params.yaml").train.lr == 1e-3


def test_a_data_set_needs_its_source_alone() -> None:
    loaded = params.parse(changed("datasets/wflw", {"source": "/data/wflw"}))
    assert loaded.train.datasets == ["ibug300w", "youtube_faces", "wflw"]
    wflw = loaded.dataset("wflw")
    assert (wflw.format, wflw.scheme, wflw.box, wflw.split) == ("auto", "auto", "auto", "subject")
    assert (wflw.address, wflw.is_sample, wflw.sample_faces) == ("/data/wflw", False, None)
    with pytest.raises(ParamsError, match=r"no data set 'wflww'; .* did you mean 'wflw'\?"):
        loaded.dataset("wflww")


def test_data_sets_that_training_leaves_out_are_known() -> None:
    assert params.parse(changed("train/datasets", "all")).not_trained_on() == []
    assert params.parse(changed("train/datasets", ["ibug300w"])).not_trained_on() == ["youtube_faces"]


@pytest.mark.parametrize(("source", "faces"), [("sample", None), ({"sample": 40}, 40)])
def test_the_sample_as_a_source(source: object, faces: int | None) -> None:
    dataset = params.parse(changed("datasets/ibug300w/source", source)).dataset("ibug300w")
    assert (dataset.is_sample, dataset.sample_faces) == (True, faces)
