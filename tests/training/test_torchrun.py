"""Two processes under torchrun give what one process gives, and go on after a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from flmd import errors
from flmd.core.params import EvaluateParams
from flmd.errors import ParamsError
from flmd.evaluation.evaluate import evaluate_store
from flmd.models.checkpoint import load_model
from flmd.store.face_store import FaceStore
from flmd.training import distributed
from flmd.training.distributed import Processes
from tests.factories import convert_list, make_face, write_picture
from tests.training import ranks

ROOT = Path(__file__).resolve().parents[2]
EPOCHS, FACES, SIDE = 3, 60, 96
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces of 68 bright dots in one arrangement, shifted, scaled and turned."""
    folder = tmp_path_factory.mktemp("dots")
    rng = np.random.default_rng(5)
    arrangement = rng.uniform(-0.4, 0.4, (68, 2))
    arrangement[36], arrangement[45] = (-0.3, -0.15), (0.3, -0.15)  # outer eye corners
    faces = []
    for i in range(FACES):
        angle, size = rng.uniform(-0.3, 0.3), rng.uniform(40, 60)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = arrangement @ turn.T * size + SIDE / 2 + rng.uniform(-5, 5, 2)
        picture = np.full((SIDE, SIDE, 3), 40, np.uint8)
        for x, y in points.round().astype(int).tolist():
            cv2.circle(picture, (x, y), 2, (230, 230, 230), -1)
        write_picture(folder / f"{i}.png", picture)
        face = make_face(f"{i}.png", box=(20, 20, 56, 56), split=("train", "train", "val", "test")[i % 4])
        face.landmarks[:] = points
        faces.append(face)
    convert_list(folder, faces, folder / "faces.h5", color="grey")[1].close()
    return folder / "faces.h5"


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with batch norm and dropout; the last batch of an epoch is uneven."""
    yaml = YAML()
    tree = yaml.load(ROOT / "params.yaml")
    tree["augment"] |= {"input_size": 32, "variants": 1, "albumentations": []}
    tree["train"] |= {
        "network_options": {"width": 0.125, "middle_blocks": 1, "dropout": 0.2},
        "loss": "smooth_l1",
        "lr": 5.0e-4,
        "schedule": "cosine",
        "epochs": EPOCHS,
        "batch": 8,
        "epoch_faces": 19,
        "device": "cpu",
    }
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    yaml.dump(tree, path)
    return path


def training(store: Path, out: Path, params: Path) -> list[str]:
    """The command after ``torchrun`` or ``python``."""
    return ["-m", "flmd.cli.flmd", "train", str(store), "--out", str(out), "--params", str(params)]


def metrics_of(store: Path, model: Path, out: Path) -> dict[str, float]:
    with FaceStore(store) as faces:
        return evaluate_store(faces, model, out, EvaluateParams(gallery=1), device="cpu").metrics


def children_of(process: int) -> list[int]:
    """Process ids, from /proc."""
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(number) for number in listed.split()]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_two_processes_killed_and_started_again_measure_what_one_measures(
    store: Path, params: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    alone = [sys.executable, *training(store, one, params)]
    subprocess.run(alone, check=True, env=ENVIRONMENT, cwd=tmp_path, capture_output=True)

    command = [*TORCHRUN, *training(store, two, params)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT, cwd=tmp_path, text=True
    ) as torchrun:
        assert torchrun.stdout is not None
        processes: list[int] = []
        for line in torchrun.stdout:
            if line.startswith("epoch 2/"):
                processes = children_of(torchrun.pid)
                torchrun.kill()
                break
    assert len(processes) == 2
    end = time.monotonic() + 60
    while any(map(alive, processes)):  # nobody trains on unseen
        assert time.monotonic() < end
        time.sleep(0.05)
    assert len(list((two / "resume").glob("*/resume.pt"))) == 1

    again = subprocess.run(
        [*command, "--overwrite"], check=True, env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True
    )
    lines = again.stdout.splitlines()
    assert lines[0].startswith("going on after epoch ")
    assert sum(line.startswith(f"epoch {EPOCHS}/{EPOCHS}") for line in lines) == 1  # one process speaks
    assert not any(line.startswith("epoch 1/") for line in lines)
    assert not (two / "resume").exists()

    expected = metrics_of(store, one / "best.pt", tmp_path / "report_one")
    found = metrics_of(store, two / "best.pt", tmp_path / "report_two")
    assert found.keys() == expected.keys()
    assert any(name.endswith(".nme") for name in found)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-4), name
    info, single = load_model(two / "last.pt")[1], load_model(one / "last.pt")[1]
    assert info.made_from == {**single.made_from, "processes": 2}
    for row, wanted in zip(info.history, single.history, strict=True):
        assert row == pytest.approx(wanted, rel=1e-3)
    assert (one / "arrays.h5").read_bytes() == (two / "arrays.h5").read_bytes()


def test_layers_see_the_whole_batch_and_an_error_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [*TORCHRUN, "-m", "tests.training.ranks", "layers", str(tmp_path / "two.json")],
        env=ENVIRONMENT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert told == ["error: face 3: cannot be read; mend it"]

    found = json.loads((tmp_path / "two.json").read_text())
    expected: dict[str, Any] = ranks.compute(Processes())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-4, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [2, 3, 8])
def test_shares_are_the_batch_in_order(count: int, rows: int) -> None:
    batch = np.arange(rows) * 10
    shares = [Processes(rank, count).share(batch) for rank in range(count)]
    assert np.concatenate([s.rows[: s.place.count] for s in shares]).tolist() == batch.tolist()
    sizes = [s.place.count for s in shares]
    assert max(sizes) - min(sizes) <= 1
    assert all(len(s.rows) == max(1, s.place.count) for s in shares)
    assert [s.place.start for s in shares] == np.cumsum([0, *sizes[:-1]]).tolist()


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert Processes(3, 4, 1).device(torch.device("cuda")) == torch.device("cuda", 1)
    assert chosen == [torch.device("cuda", 1)]
    assert Processes(3, 4, 1).device(torch.device("cpu")) == torch.device("cpu")
    assert Processes().device(torch.device("cuda", 1)) == torch.device("cuda", 1)
    with pytest.raises(ParamsError, match="process 3 of this machine has no GPU, there are 2; torchrun"):
        Processes(2, 4, 2).device(torch.device("cuda"))
    with pytest.raises(ParamsError, match="train.device is 'cuda:0' for 2 processes; expected auto, cuda"):
        Processes(1, 2, 1).device(torch.device("cuda", 0))


def test_processes_that_cannot_meet_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "x",
    }.items():
        monkeypatch.setenv(name, value)

    def join() -> None:
        with distributed.joined():
            pass

    assert errors.run(join) == 2
    assert capsys.readouterr().err.startswith("error: the processes of torchrun cannot meet at 127.0.0.1")


def test_a_stage_becomes_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: started.append(arguments))
    monkeypatch.setattr(sys, "argv", ["pipeline/train.py"])
    monkeypatch.delenv("RANK", raising=False)
    distributed.restart_under_torchrun()
    monkeypatch.setenv("FLMD_TORCHRUN", "--standalone --nproc-per-node 2")
    distributed.restart_under_torchrun()
    assert started == [[*TORCHRUN, "pipeline/train.py"]]
    monkeypatch.setenv("RANK", "0")  # torchrun has started it
    distributed.restart_under_torchrun()
    assert len(started) == 1
