"""One trains, all see: what one pushed, another pulls from every kind of remote, and nothing runs again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.experiments.remotes.clones import Clone, wrong_objects
from tests.experiments.remotes.servers import Server
from tests.pipeline.project import Project


@pytest.mark.parametrize("kind", ["folder", "s3", "ssh", "webdav"])
def test_a_second_clone_pulls_everything_and_runs_no_stage(
    kind: str, server: Callable[[str], Server], finished: Clone, tmp_path: Path
) -> None:
    remote = server(kind).remote("everything")
    finished.use(remote)
    finished.run("dvc", "push", **remote.environment)
    assert wrong_objects(remote.contents) == []

    second = finished.clone(tmp_path / "second")
    second.use(remote)
    second.run("dvc", "pull", **remote.environment)
    again = second.run("dvc", "repro")
    assert "Running stage" not in again.stdout
    assert "up to date" in again.stdout
    assert second.run("git", "status", "--porcelain").stdout == ""
    for path in Project.outputs(finished.folder):
        assert (second.folder / path).read_bytes() == (finished.folder / path).read_bytes()


def test_one_pulled_store_is_enough_to_evaluate(
    server: Callable[[str], Server], finished: Clone, tmp_path: Path
) -> None:
    remote = server("folder").remote("everything")
    finished.use(remote)
    finished.run("dvc", "push")
    second = finished.clone(tmp_path / "second")
    second.use(remote)
    second.run("dvc", "pull", "data/faces.h5")
    assert not (second.folder / "data" / "raw").exists()
    assert not (second.folder / "data" / "stores").exists()
    model = finished.folder / "data" / "model" / "best.pt"
    second.run("flmd", "evaluate", "data/faces.h5", "--model", str(model), "--out", "again")
    measured = json.loads((second.folder / "again" / "metrics.json").read_text())
    assert measured == json.loads((finished.folder / "reports" / "metrics.json").read_text())
