"""What made a file: records inside and beside, the chain back to the raw archives, the commit."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.cli import flmd, flmd_data
from flmd.core import provenance
from flmd.core.crop_spec import CropSpec
from flmd.core.params import EvaluateParams
from flmd.errors import InputError
from flmd.experiments.records import find_record, parse_record
from flmd.models import checkpoint
from flmd.models.checkpoint import ModelInfo
from flmd.models.normalisation import Normalisation
from flmd.store import h5file
from tests.factories import make_face, write_picture

LOCK = """schema: '2.0'
stages:
  download@a:
    cmd: python pipeline/download.py a
    params:
      params.yaml: {{datasets.a.source: sample, datasets.a.sample_faces: 40, seed: 7}}
    outs: [{{path: data/raw/a, hash: md5, md5: {raw}}}]
  convert@a:
    cmd: python pipeline/convert.py a
    deps: [{{path: data/raw/a, hash: md5, md5: {raw}}}]
    outs: [{{path: data/stores/a.h5, hash: md5, md5: {store}}}]
  train:
    cmd: python pipeline/train.py
    deps: [{{path: data/stores/a.h5, hash: md5, md5: {store}}}]
    outs: [{{path: data/model/best.pt, hash: md5, md5: {model}}}]
  evaluate:
    cmd: python pipeline/evaluate.py
    deps: [{{path: data/model/best.pt, hash: md5, md5: {model}}}]
    outs:
    - {{path: reports/evaluation.json, hash: md5, md5: {evaluation}}}
    - {{path: reports/metrics.json, hash: md5, md5: {metrics}}}
"""


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def write_store(path: Path, record: dict[str, Any]) -> None:
    with h5file.creating(path) as file:
        h5file.set_header(file, "flmd-faces", 1, made_from=record)


def write_model(path: Path, record: dict[str, Any]) -> None:
    info = ModelInfo(
        "xception", {}, 5, 1, "square", Normalisation(32), CropSpec(32, 1.3, "grey"), made_from=record
    )
    checkpoint.save_model(path, {"w": torch.zeros(1)}, info)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project as its pipeline leaves it, committed: raw -> store -> model -> reports."""
    root = tmp_path / "project"
    raw, store = root / "data" / "raw" / "a", root / "data" / "stores" / "a.h5"
    model, reports = root / "data" / "model" / "best.pt", root / "reports"
    for folder in (root / ".dvc", raw.parent, store.parent, model.parent, reports / "plots"):
        folder.mkdir(parents=True)
    raw.write_bytes(b"an archive")
    made = provenance.made_from([raw], {"convert": {"crop_size": 64}, "seed": 7}, stage="convert")
    write_store(store, made)
    write_model(model, provenance.made_from({store: made}, {"train": {"lr": 1e-3}}, stage="train"))
    (reports / "metrics.json").write_text('{"a": {"nme": 0.05}}\n')
    (reports / "plots" / "ced.png").write_bytes(b"\x89PNG")
    made = checkpoint.read_info(model).made_from
    record = provenance.made_from({model: made}, {"evaluate": EvaluateParams()}, stage="evaluate")
    files = [reports / "metrics.json", reports / "plots" / "ced.png"]
    provenance.write_beside(reports / "evaluation.json", record, files)
    write_lock(root)
    (root / ".gitignore").write_text("data\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "run")
    return root


def write_lock(root: Path) -> None:
    files = {"raw": "data/raw/a", "store": "data/stores/a.h5", "model": "data/model/best.pt"}
    files |= {"evaluation": "reports/evaluation.json", "metrics": "reports/metrics.json"}
    (root / "dvc.lock").write_text(LOCK.format(**{key: md5(root / name) for key, name in files.items()}))


def call(monkeypatch: pytest.MonkeyPatch, entry: Any, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["flmd", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    return int(ended.value.code or 0)


class Ask:
    """`flmd provenance`: the exit code, and the JSON that it printed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys, self.err = monkeypatch, capsys, ""

    def __call__(self, path: Path, *options: object) -> tuple[int, dict[str, Any]]:
        self.monkeypatch.chdir(path.parent if path.parent.is_dir() else Path.cwd())
        self.capsys.readouterr()
        code = call(self.monkeypatch, flmd, "provenance", path, "--json", *options)
        printed = self.capsys.readouterr()
        self.err = printed.err
        return code, json.loads(printed.out) if printed.out else {}


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    return Ask(monkeypatch, capsys)


FILES = ("data/stores/a.h5", "data/model/best.pt", "reports/evaluation.json", "reports/metrics.json")


@pytest.mark.parametrize("name", [*FILES, "reports/plots/ced.png"])
def test_every_kind_of_output_leads_back_to_the_archive_and_the_commit(
    project: Path, ask: Ask, name: str
) -> None:
    code, chain = ask(project / name)
    assert code == 0
    assert chain["links"][0]["sha256"] == chain["file"] == sha256(project / name)
    assert chain["raw"] == [sha256(project / "data/raw/a")]
    ends = chain["links"][-1]
    assert (ends["name"], ends["state"]) == ("data/raw/a", "verified")
    assert ends["origin"] == "the built-in sample, 40 faces, seed 7 (dvc.lock)"
    assert chain["commit"] == {"name": git(project, "rev-parse", "HEAD"), "head": True, "changed": []}
    assert {link["state"] for link in chain["links"]} == {"verified"}


def test_the_chain_is_printed_with_stages_digests_and_params(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert call(monkeypatch, flmd, "provenance", "reports/metrics.json") == 0
    short = capsys.readouterr().out
    for name in ("reports/metrics.json", "data/model/best.pt", "data/stores/a.h5", "data/raw/a"):
        assert f"{name}  verified" in short
        assert f"sha256 {sha256(project / name)}" in short
    for text in ("record in reports/evaluation.json", "made by train, flmd", "params seed 7, convert (1)"):
        assert text in short
    assert f"commit: {git(project, 'rev-parse', 'HEAD')} (HEAD), working tree clean" in short
    assert call(monkeypatch, flmd, "provenance", "reports/metrics.json", "--params") == 0
    everything = capsys.readouterr().out
    assert "convert.crop_size: 64" in everything
    assert 'evaluate.normaliser: "inter_ocular"' in everything


@pytest.mark.parametrize("name", ["data/raw/a", "data/stores/a.h5", "data/model/best.pt"])
def test_a_flipped_byte_in_an_input_is_named_and_the_chain_stays_whole(
    project: Path, ask: Ask, name: str
) -> None:
    flip(project / name)
    code, chain = ask(project / "reports" / "metrics.json")
    assert code == 1
    assert f"differs: {name} does not have the bytes that were recorded" in ask.err
    assert [link["name"] for link in chain["links"] if link["state"] == "differs"] == [name]
    assert len(chain["links"]) == 4
    assert chain["links"][-1]["name"] == "data/raw/a"


def test_a_metric_changed_by_hand_is_named(project: Path, ask: Ask) -> None:
    flip(project / "reports" / "metrics.json")
    code, chain = ask(project / "reports" / "metrics.json")
    assert code == 1
    assert "differs: reports/metrics.json" in ask.err
    assert chain["links"][0]["state"] == "differs"


def test_a_model_alone_tells_the_whole_chain(project: Path, tmp_path: Path, ask: Ask) -> None:
    raw = sha256(project / "data/raw/a")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(project / "data/model/best.pt", tmp_path / "elsewhere" / "mine.pt")
    shutil.rmtree(project)
    code, chain = ask(tmp_path / "elsewhere" / "mine.pt")
    assert code == 0
    assert [(link["name"], link["state"]) for link in chain["links"][1:]] == [
        ("a.h5", "not here"),
        ("a", "not here"),
    ]
    assert chain["raw"] == [raw]
    assert chain["no_commit"] == "not in a DVC project"


def test_inputs_are_found_in_a_folder_that_is_named(project: Path, tmp_path: Path, ask: Ask) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(project / "data/model/best.pt", tmp_path / "elsewhere" / "mine.pt")
    _, chain = ask(tmp_path / "elsewhere" / "mine.pt", "--in", project / "data" / "stores")
    assert [link["state"] for link in chain["links"]] == ["", "verified", "not here"]


def test_a_file_of_another_project_with_the_same_name_is_no_link(
    project: Path, tmp_path: Path, ask: Ask
) -> None:
    """A colleague's model in a folder, and in a project, that have a store and an archive of those names."""
    there = tmp_path / "theirs"
    there.mkdir()
    made = provenance.made_from({}, {}, stage="convert")
    write_store(there / "a.h5", {**made, "inputs": {"a": "0" * 64}})
    write_model(there / "best.pt", provenance.made_from({there / "a.h5": made}, {}, stage="flmd train"))
    mine = project / "from_a_colleague.pt"
    shutil.copy(there / "best.pt", mine)
    code, chain = ask(mine)
    assert code == 0, ask.err
    assert [(link["name"], link["state"]) for link in chain["links"][1:]] == [("a.h5", "not here")]
    kept = tmp_path / "kept"
    kept.mkdir()
    (there / "a.h5").rename(kept / "a.h5")
    write_store(there / "a.h5", {})
    code, chain = ask(there / "best.pt")
    assert (code, chain["links"][1]["state"]) == (0, "not here")
    # The bytes decide: where the very file is at hand, the link is verified.
    code, chain = ask(mine, "--in", kept)
    assert (code, chain["links"][1]["state"]) == (0, "verified")


def test_an_old_output_names_the_old_commit_and_a_changed_tree_is_said(project: Path, ask: Ask) -> None:
    first = git(project, "rev-parse", "HEAD")
    model = project / "data/model/best.pt"
    kept = model.read_bytes()
    write_model(model, {"stage": "train", "inputs": {}, "params": {"train": {"lr": 2}}})
    write_lock(project)
    git(project, "commit", "-q", "-a", "-m", "another")
    code, chain = ask(model)
    assert (code, chain["commit"]["head"]) == (0, True)
    model.write_bytes(kept)
    (project / ".gitignore").write_text("data\n# more\n")
    code, chain = ask(model)
    assert code == 1  # not what dvc.lock says now
    assert chain["commit"] == {"name": first, "head": False, "changed": [".gitignore"]}


def test_a_lock_of_another_archive_does_not_say_where_this_one_came_from(project: Path, ask: Ask) -> None:
    """The stages ran by hand on other data: dvc.lock still tells of the sample."""
    lock = project / "dvc.lock"
    lock.write_text(lock.read_text().replace(md5(project / "data/raw/a"), 32 * "0"))
    _, chain = ask(project / "data/model/best.pt")
    ends = chain["links"][-1]
    assert (ends["name"], ends["state"], ends["origin"]) == ("data/raw/a", "verified", "")
    assert chain["raw"] == [sha256(project / "data/raw/a")]


def test_a_lock_that_is_not_committed_is_said(project: Path, ask: Ask) -> None:
    write_model(project / "data/model/best.pt", {"stage": "train", "inputs": {}})
    write_lock(project)
    code, chain = ask(project / "data/model/best.pt")
    assert code == 0
    assert chain["commit"] is None
    assert chain["no_commit"] == "no commit's dvc.lock holds all these digests"


def test_the_address_of_a_published_archive_comes_from_its_manifest(project: Path, ask: Ask) -> None:
    manifest = project / "data" / "manifests" / "a.json"
    manifest.parent.mkdir()
    known = {"https://x.example/a.tar": {"sha256": sha256(project / "data/raw/a"), "bytes": 10}}
    manifest.write_text(json.dumps({"known": known}))
    _, chain = ask(project / "data/model/best.pt")
    assert chain["links"][-1]["origin"] == "https://x.example/a.tar (data/manifests/a.json)"


def damaged_store(path: Path) -> None:
    write_store(path, {"inputs": ["not a mapping"]})


def circular_store(path: Path) -> None:
    one, two = "1" * 64, "2" * 64
    earlier = {one: {"inputs": {"two": two}}, two: {"inputs": {"one": one}}}
    write_store(path, {"stage": "x", "inputs": {"one": one}, "earlier": earlier})


def cut_store(path: Path) -> None:
    write_store(path, {})
    path.write_bytes(path.read_bytes()[:700])


BAD = {
    "nothing": (lambda path: None, "no such file"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "empty": (lambda path: path.write_bytes(b""), "nothing tells what made it"),
    "text": (lambda path: path.write_text("hello"), "nothing tells what made it"),
    "json": (lambda path: path.write_text('{"a": 1}'), "nothing tells what made it"),
    "half": (lambda path: path.write_text('{"a": '), "not valid JSON"),
    "deep": (lambda path: path.write_text('{"a":' * 100_000), "not valid JSON"),
    "record": (damaged_store, "its record of what made it is damaged"),
    "cut": (cut_store, "truncated: 700 bytes of 8192"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_without_a_record_is_one_line(tmp_path: Path, ask: Ask, kind: str) -> None:
    make, message = BAD[kind]
    make(tmp_path / "x.bin")
    code, _ = ask(tmp_path / "x.bin")
    assert code == 2
    assert message in ask.err
    assert ask.err.count("\n") == 1


def test_records_in_a_circle_end(tmp_path: Path, ask: Ask) -> None:
    circular_store(tmp_path / "x.h5")
    code, chain = ask(tmp_path / "x.h5")
    assert code == 0
    assert [link["sha256"][0] for link in chain["links"][1:]] == ["1", "2"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["stage", "inputs", "params", "earlier", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(tree=JSON)
def test_any_json_is_a_record_or_an_input_error(tree: Any) -> None:
    try:
        record = parse_record(tree, "x")
    except InputError:
        return
    assert all(isinstance(v, str) for v in record.inputs.values())


def test_a_record_holds_no_path_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "a.h5").write_bytes(b"a")
    (tmp_path / "one" / "a.h5").write_bytes(b"b")
    used = {"train": {"pretrained": str(tmp_path / "w.pt"), "list": [Path("/x/y")]}, "lr": 1e-3}
    record = provenance.made_from([tmp_path / "a.h5", tmp_path / "one" / "a.h5"], used)
    assert list(record["inputs"]) == ["a.h5", "a.h5 (2)"]
    assert record["params"] == {"train": {"pretrained": "w.pt", "list": ["y"]}, "lr": 1e-3}
    assert str(tmp_path) not in json.dumps(record)


def test_a_record_holds_no_password_of_an_address() -> None:
    address = "https://ann:s3cret@host/a.tar?sig=5ec"
    used = {"datasets": {"a": {"source": address, "more": [address]}}}
    record = provenance.record_of({"a.tar": "ab"}, used, "convert")
    safe = "https://***@host/a.tar?sig=***"
    assert record["params"] == {"datasets": {"a": {"source": safe, "more": [safe]}}}


def test_what_came_before_is_kept_once_however_often_it_was_used(tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("raw", "b", "c", "d")}
    for name, path in paths.items():
        path.write_text(name)
    raw = provenance.made_from([paths["raw"]], {}, stage="one")
    b = provenance.made_from({paths["b"]: raw}, {}, stage="two")
    d = provenance.made_from({paths["b"]: raw, paths["c"]: b}, {}, stage="three")
    assert set(d["earlier"]) == {sha256(paths["b"]), sha256(paths["c"])}
    assert all("earlier" not in record for record in d["earlier"].values())


@pytest.mark.parametrize("count", [1, 2000])
def test_a_record_of_any_length_fits_into_a_store(tmp_path: Path, count: int) -> None:
    record = provenance.record_of({f"{i}.h5": f"{i:064x}" for i in range(count)}, {}, "flmd-data merge")
    write_store(tmp_path / "s.h5", record)
    found = find_record(tmp_path / "s.h5")
    assert found is not None
    assert found.record.inputs == record["inputs"]
    assert len(found.record.inputs) == count


def test_a_store_from_a_folder_names_the_digest_of_its_annotations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "faces"
    for name in ("b", "a"):
        write_picture(folder / f"{name}.png", torch.zeros(90, 90, 3, dtype=torch.uint8).numpy())
        points = "\n".join(f"{x + 1} {y + 1}" for x, y in make_face("x.jpg").landmarks.tolist())
        (folder / f"{name}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
    target, report = tmp_path / "s.h5", tmp_path / "loss.json"
    assert (
        call(monkeypatch, flmd_data, "convert", folder, target, "--images", "none", "--report", report) == 0
    )
    lines = "".join(f"{sha256(folder / name)}  {name}\n" for name in ("a.pts", "b.pts"))
    expected = {"faces": hashlib.sha256(lines.encode()).hexdigest()}
    found = find_record(target)
    assert found is not None
    assert found.record.inputs == expected
    assert json.loads(report.read_text())["made_from"]["inputs"] == expected


def flip(path: Path) -> None:
    """Change a byte in the middle; size and time of change stay."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _convert_record(source: str | None) -> dict[str, Any]:
    dataset = {"format": "dlib-xml"} | ({"source": source} if source else {})
    return {"stage": "convert", "inputs": {"a": "1"}, "params": {"dataset": dataset}}


def test_a_model_knows_whether_its_faces_were_drawn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from flmd.cli.predict import _warn_of_drawn_faces

    drawn, real = _convert_record("sample"), {**_convert_record("own"), "inputs": {"b": "2"}}
    model = {"stage": "train", "inputs": {}, "params": {"train": {"datasets": ["a", "b"]}}}
    both = {**model, "earlier": {"x": drawn, "y": real}}
    assert provenance.origins(both) == {"a": "sample", "b": "own"}
    alone = {**both, "params": {"train": {"datasets": ["a"]}}}
    assert provenance.origins(alone) == {"a": "sample"}
    assert provenance.origins({**model, "earlier": {"x": _convert_record(None)}}) == {}
    for record, warned in ((both, False), (alone, True), ({}, False)):
        _warn_of_drawn_faces(record, Path("best.pt"))
        error = capsys.readouterr().err
        assert error.startswith("warning: best.pt has learnt from drawn faces only") == warned
        assert error.count("\n") == int(warned)
