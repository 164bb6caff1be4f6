"""What a scheduler's address may be, and what a worker checks before its first task; no cluster needed."""

from __future__ import annotations

import pickle
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from flmd.augmentation import build
from flmd.augmentation.augmenter import Augmenter
from flmd.cli import flmd_data as command
from flmd.conversion import crop_pass
from flmd.conversion.settings import CropSettings
from flmd.core.params import AugmentParams
from flmd.errors import FlmdError, ParamsError, StoreError
from flmd.formats import get
from flmd.parallel import dask_cluster, shards
from flmd.schemes import IBUG68
from flmd.tree import open_tree
from tests.factories import convert_list, make_face, write_picture


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_no_address_means_processes_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLMD_SCHEDULER", raising=False)
    with dask_cluster.connected() as executor:
        assert executor is None


def test_nobody_at_the_address(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "PATIENCE", 0.3)
    monkeypatch.setenv("FLMD_SCHEDULER", f"tcp://127.0.0.1:{closed_port}")
    message = rf"^no scheduler answers at tcp://127\.0\.0\.1:{closed_port} \(.*\); start one with `dask sched"
    with pytest.raises(FlmdError, match=message), dask_cluster.connected():
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:8786", "http://127.0.0.1:8786", "tcp://somewhere"])
def test_not_an_address(address: str) -> None:
    with (
        pytest.raises(ParamsError, match="expected an address such as tcp://"),
        dask_cluster.connected(address),
    ):
        pass


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ParamsError, match=r"pip install 'flmd\[dask\]'"), dask_cluster.connected("tcp://a:1"):
        pass


def flmd_data(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["flmd-data", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return int(ended.value.code or 0)


def test_a_conversion_without_its_scheduler_is_one_line_and_leaves_nothing(
    tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dask_cluster, "PATIENCE", 0.3)
    write_picture(tmp_path / "set" / "a.png", np.zeros((90, 90, 3), np.uint8))
    face = make_face("a.png")
    face.landmarks[:] = face.landmarks.round()
    get("dlib-xml").write([face], tmp_path / "set" / "labels.xml", IBUG68)
    command = ("convert", tmp_path / "set" / "labels.xml", tmp_path / "a.h5")
    address = f"tcp://127.0.0.1:{closed_port}"
    assert flmd_data(monkeypatch, *command, "--scheduler", address) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line for line in told if line.startswith("error: ")] == told[-1:]
    assert f"no scheduler answers at {address}" in told[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert flmd_data(monkeypatch, *command, "--scheduler", address, "--images", "none") == 2
    assert "--scheduler, but no pictures are cut" in capsys.readouterr().err


def opened(context: object, **versions: str) -> None:
    """What a worker does with what it is sent."""
    dask_cluster._opened(pickle.dumps((repr, context, {**dask_cluster._versions(), **versions})))


def test_a_worker_with_other_packages_does_not_start() -> None:
    opened(None)
    here = dask_cluster._versions()["numpy"]
    with pytest.raises(FlmdError, match=rf"a worker on .* has numpy {here}; expected 0\.1 as here"):
        opened(None, numpy="0.1")


def test_a_worker_that_does_not_see_the_pictures_does_not_start(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        write_picture(tmp_path / name, np.zeros((20, 20, 3), np.uint8))
    with open_tree(tmp_path) as tree:
        sample = crop_pass.sample_of(tree)
        work = crop_pass.CropWork(tree, CropSettings(8, 2, "grey"), "image", None, sample)
        opened(work)
        (tmp_path / "c.png").write_bytes(b"other")
        with pytest.raises(FlmdError, match=r"cannot start: .*c\.png: 5 bytes; expected \d+; every machine"):
            opened(work)
        (tmp_path / "a.png").unlink()
        with pytest.raises(FlmdError, match=r"cannot start: .*a\.png: No such file"):
            opened(work)


def test_a_worker_with_another_store_at_the_path_does_not_start(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((90, 90, 3), np.uint8))
    _, store = convert_list(tmp_path, [make_face("a.png")], tmp_path / "s.h5")
    with store:
        augmenter = Augmenter(AugmentParams(input_size=8, padding=1.3, variants=1), store.scheme, 0, "rgb")
        for made_from in (store.made_from, {"test": False}):
            work = build._Work(store, augmenter, np.arange(1), None, None, made_from)
            if made_from == store.made_from:
                opened(work)
                continue
            with pytest.raises(FlmdError, match=r"cannot start: .*s\.h5: another store"):
                opened(work)


def test_shards_come_back_and_leave_nothing(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    with shards.beside(tmp_path / "store.h5") as folder:
        left = folder.leave(pixels[:, ::-1])
        assert isinstance(left, shards.Shard)
        assert (folder.take(left) == pixels[:, ::-1]).all()
        folder.leave(pixels)  # by a worker that was given up
    assert list(tmp_path.iterdir()) == []


def test_a_worker_without_the_shared_folder_sends_its_pixels(tmp_path: Path) -> None:
    pixels = np.ones((1, 2, 2), np.uint8)
    unseen = shards.Shards(tmp_path / "elsewhere")
    assert unseen.leave(pixels) is pixels
    assert unseen.take(pixels) is pixels


def test_a_cut_shard_is_noticed(tmp_path: Path) -> None:
    with shards.beside(tmp_path / "store.h5") as folder:
        left = folder.leave(np.ones((2, 3, 4), np.uint8))
        assert isinstance(left, shards.Shard)
        left.path.write_bytes(b"\1" * 23)
        with pytest.raises(StoreError, match="a worker's pixels did not arrive"):
            folder.take(left)
