"""What made dvc.lock is recorded beside it, and read back to explain a difference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flmd.experiments import machine
from flmd.experiments.dvc_lock import Lock, LockedStage
from flmd.experiments.machine import Machine


def lock(md5: str = "a" * 32) -> Lock:
    return Lock({"train": LockedStage("train", {}, {"data/model/best.pt": md5}, {})})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "reports").mkdir()
    return tmp_path


def test_the_machine_comes_back_from_its_file(root: Path) -> None:
    assert machine.record(root, lock())
    found = machine.parse((root / machine.NAME).read_text(), lock())
    assert found == machine.this_machine()
    assert found is not None
    assert {"numpy", "torch", "h5py", "python", "flmd"} <= set(found.versions)


def test_the_same_outputs_leave_the_file_alone_whoever_made_them(root: Path) -> None:
    assert machine.record(root, lock())
    path = root / machine.NAME
    tree = json.loads(path.read_text())
    tree["machine"]["processor"] = "another"
    path.write_text(json.dumps(tree))
    assert not machine.record(root, lock())
    assert json.loads(path.read_text())["machine"]["processor"] == "another"


def test_other_outputs_replace_it(root: Path) -> None:
    machine.record(root, lock())
    assert machine.record(root, lock("b" * 32))
    text = (root / machine.NAME).read_text()
    assert machine.parse(text, lock()) is None
    assert machine.parse(text, lock("b" * 32)) is not None


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"outputs": 3}', '{"outputs": "x", "machine": []}', "["]
)
def test_a_file_that_is_none_says_nothing(text: str | None, root: Path) -> None:
    assert machine.parse(text, lock()) is None
    if text is not None:
        (root / machine.NAME).write_text(text)
        assert machine.record(root, lock())


def test_only_what_differs_is_told() -> None:
    versions = {"numpy": "2.4.0", "torch": "2.14"}
    one = Machine("EPYC", "x86_64", ("avx2", "avx512f"), 2, "Linux glibc 2.36", versions)
    assert machine.differences(one, one) == []
    versions = {"numpy": "2.5.0", "h5py": "3"}
    other = replace(one, processor="Xeon", instruction_sets=("avx2", "fma"), versions=versions)
    assert machine.differences(one, other) == [
        ("processor", "EPYC", "Xeon"),
        ("instruction sets only one has", "avx512f", "fma"),
        ("numpy", "2.4.0", "2.5.0"),
        ("torch", "2.14", "-"),
        ("h5py", "-", "3"),
    ]


def test_a_package_that_differs_is_said_to_decide_what_it_decides() -> None:
    rows = [("processor", "EPYC", "Xeon")]
    rows += [("opencv-python-headless", "4.12.0", "4.14.0"), ("h5py", "3.12", "3.16")]
    assert machine.decided_by(rows) == [
        "opencv-python-headless 4.12.0 or 4.14.0 may decide: the pictures of the sample, and so every output",
        "h5py 3.12 or 3.16 may decide: nothing up to data/arrays.h5 in the versions tried",
    ]
    assert set(machine.DECIDES) <= set(machine.PACKAGES)
