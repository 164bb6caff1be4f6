"""The whole pipeline through DVC, on a small sample: end to end, again, killed, with other workers."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from flmd.augmentation.arrays import TrainingArrays
from tests.pipeline.project import Project


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose pipeline ran undisturbed, with one worker."""
    project = Project(tmp_path_factory.mktemp("undisturbed") / "project")
    project.repro(FLMD_WORKERS="1")
    return project


def test_the_pipeline_ends_with_metrics(done: Project) -> None:
    metrics = json.loads((done.folder / "reports" / "metrics.json").read_text())
    for dataset in ("ibug300w", "youtube_faces"):
        for name in ("nme", "mean_shape_nme", "auc08", "fr08", "nme_jaw", "nme_mouth", "nme_inter_pupil"):
            assert metrics[dataset][name] >= 0
    assert {"common", "challenging", "full"} <= set(metrics["ibug300w"])
    for name in ("loss", "ced", "regions", "worst", "random"):
        assert (done.folder / "reports" / "plots" / f"{name}.png").stat().st_size > 5000
    report = json.loads((done.folder / "reports" / "data" / "ibug300w.json").read_text())
    assert report["faces_kept"] == report["faces_read"] == 40
    assert report["subjects_shared"]["train-test"]["count"] == 0


def test_a_second_repro_runs_no_stage(done: Project) -> None:
    again = done.repro()
    assert "Running stage" not in again.stdout
    assert "up to date" in again.stdout
    assert done.run("git", "status", "--porcelain", "--", "data", "flmd", "pipeline").stdout == ""


def test_metrics_and_plots_are_dvcs_to_read(done: Project) -> None:
    shown = done.run("dvc", "metrics", "show", "--md").stdout
    assert "ibug300w.nme" in shown
    assert "youtube_faces.mean_shape_nme" in shown
    drawn = done.run("dvc", "plots", "show", "--out", "drawn").stdout
    assert "index.html" in drawn


@pytest.mark.slow
def test_killed_anywhere_and_run_again_gives_the_same_digests(done: Project, tmp_path: Path) -> None:
    project = Project(tmp_path / "killed")
    data = project.folder / "data"

    def unfinished(folder: Path, name: str) -> bool:
        return any(folder.glob(f".{name}.*tmp*")) if folder.is_dir() else False

    project.kill_when("download@ibug300w", lambda: unfinished(data / "raw", "ibug300w"))
    project.kill_when("convert@youtube_faces", lambda: unfinished(data / "stores", "youtube_faces"))
    project.kill_when("augment", lambda: unfinished(data, "arrays.h5"))
    project.kill_when("train", lambda: any((data / ".resume").rglob("resume.pt")))
    project.repro(FLMD_WORKERS="4")
    assert project.digests() == done.digests()
    left = [p for p in data.rglob("*") if "tmp" in p.name or p.suffix == ".part"]
    assert left == []


@pytest.mark.slow
def test_live_training_writes_no_versions_and_does_not_care_how_many_are_asked_for(
    done: Project, tmp_path: Path
) -> None:
    project = Project(tmp_path / "live", **{"train.augmentation": "live"})
    first = project.repro().stdout
    assert "Running stage 'train'" in first
    stored, live = (p.folder / "data" / "arrays.h5" for p in (done, project))
    with TrainingArrays(stored) as two, TrainingArrays(live) as one:
        assert len(two.split("train")) == 2 * len(one.split("train"))
        assert np.array_equal(two.split("val").images, one.split("val").images)
    project.set({"augment.variants": 5})
    again = project.repro().stdout
    assert "Running stage 'augment'" in again
    assert "Running stage 'train'" not in again


def test_a_misspelt_key_stops_the_first_stage_in_one_line(done: Project, tmp_path: Path) -> None:
    project = Project(tmp_path / "misspelt", **{"train.epoch": 3})
    failed = project.repro(check=False)
    assert failed.returncode != 0
    assert "params.yaml: unknown key 'train.epoch'; did you mean 'epochs'?" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_official_data_needs_the_licence_accepted(tmp_path: Path) -> None:
    project = Project(tmp_path / "official", **{"datasets.ibug300w.source": "official"})
    failed = project.repro("download@ibug300w", check=False)
    assert failed.returncode != 0
    assert "accept_license: true" in failed.stderr
    assert "datasets.ibug300w" in failed.stderr


def test_a_metric_leads_back_to_the_raw_archives_and_the_commit(done: Project) -> None:
    done.run("git", "add", "-A")
    done.run("git", "commit", "-q", "-m", "baseline")
    code = "from flmd.cli.flmd import main; main()"
    told = done.run(sys.executable, "-c", code, "provenance", "reports/metrics.json", "--json")
    chain = json.loads(told.stdout)
    names = [link["name"] for link in chain["links"]]
    assert names[:4] == [
        "reports/metrics.json",
        "data/faces.h5",
        "data/model/best.pt",
        "data/stores/ibug300w.h5",
    ]
    assert {link["state"] for link in chain["links"]} == {"verified"}
    archives = [done.folder / "data" / "raw" / name for name in ("ibug300w", "youtube_faces")]
    assert sorted(chain["raw"]) == sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in archives)
    head = done.run("git", "rev-parse", "HEAD").stdout.strip()
    assert chain["commit"] == {"name": head, "head": True, "changed": []}


def test_experiments_can_be_compared(done: Project) -> None:
    done.run("dvc", "exp", "run", "-q", "-S", "train.epochs=1", "-S", "train.lr=3e-4")
    changed = done.run("dvc", "metrics", "diff", "--md").stdout
    assert "ibug300w.nme" in changed
    assert "train.lr" in done.run("dvc", "params", "diff", "--md").stdout
    assert "index.html" in done.run("dvc", "plots", "diff", "HEAD", "--out", "compared").stdout
