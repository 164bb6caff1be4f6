"""The description of an HDF5 file, read without libhdf5: as h5py reads it, or refused in one line."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from flmd.errors import StoreError
from flmd.store import opening
from flmd.store.face_store import FaceStore
from flmd.store.hdf5_file import Hdf5File
from flmd.store.hdf5_values import Strange
from tests.factories import make_face
from tests.store.test_face_store import write


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("good")
    faces = [make_face(f"{i}.jpg", seed=i) for i in range(5)]
    write(folder / "s.h5", faces, scratch=folder / "scratch")
    return (folder / "s.h5").read_bytes()


@pytest.fixture
def store(tmp_path: Path, good: bytes) -> Path:
    (tmp_path / "s.h5").write_bytes(good)
    return tmp_path / "s.h5"


def content(path: Path) -> object:
    """All that a store hands out."""
    with FaceStore(path) as store:
        columns = {name: (str(v.dtype), v.shape, v.tobytes()) for name, v in store._maps.items()}
        return store.scheme.name, store.crop_spec, store.made_from, columns


def test_it_says_what_h5py_says(store: Path) -> None:
    with h5py.File(store) as theirs:
        ours = Hdf5File(store)
        assert ours.root.attributes == {
            k: v.item() if isinstance(v, np.generic) else v for k, v in theirs.attrs.items()
        }
        assert set(ours.root.links or ()) == set(theirs)
        for name, dataset in theirs.items():
            found = ours.get(name)
            assert found is not None
            assert found.dataset is not None
            assert (found.dataset.kind, found.dataset.shape) == (dataset.dtype, dataset.shape)
            assert found.dataset.place == dataset.id.get_offset()
            assert found.attributes == dict(dataset.attrs)
        ours.close()


@pytest.mark.parametrize(
    "value",
    [
        3,
        -(2**62),
        2**63,
        0.1,
        float("inf"),
        np.float32(0.5),
        np.int8(-3),
        np.uint16(9),
        "ä\U0001f600",
        "",
        b"ab",
    ],
)
def test_attributes_of_every_plain_type(tmp_path: Path, value: object) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="earliest") as file:
        file.attrs["x"] = value
    found = Hdf5File(tmp_path / "a.h5").root.attributes["x"]
    assert found == (value.decode() if isinstance(value, bytes) else value)


@pytest.mark.parametrize(
    "value",
    [np.arange(3), True, h5py.Empty("f4"), 1j, np.array(1, ">f2"), ["a", "b"], np.void(b"abc"), b"\xff"],
)
def test_other_attributes_are_told_apart_from_values(tmp_path: Path, value: object) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="earliest") as file:
        file.attrs["x"] = value
    assert isinstance(Hdf5File(tmp_path / "a.h5").root.attributes["x"], Strange)


def test_many_groups_and_attributes(tmp_path: Path) -> None:
    """B-trees of more than one level, headers and heaps of several blocks."""
    with h5py.File(tmp_path / "a.h5", "w", libver="earliest") as file:
        for i in range(900):
            file[f"{i}/x"] = np.full(3, i, "i4")
        for i in range(300):
            file.attrs[f"a{i}"] = "t" * i
    ours = Hdf5File(tmp_path / "a.h5")
    assert ours.root.attributes == {f"a{i}": "t" * i for i in range(300)}
    assert sorted(map(int, ours.root.links or ())) == list(range(900))
    assert all(opening.map_rows(ours, f"{i}/x").tolist() == [i] * 3 for i in range(900))
    ours.check_places()


def test_a_changed_byte_of_the_description_is_found_or_changes_nothing(store: Path, good: bytes) -> None:
    """Each of a sample of bytes, set to 0, to 255 and with one bit turned over; never slow."""
    before, file = content(store), Hdf5File(store)
    with FaceStore(store) as opened:
        places = [p for start, size in opened._file._bytes.taken.items() for p in range(start, start + size)]
    file.close()
    assert len(places) > 2000
    rng, refused = random.Random(5), []
    for place in rng.sample(places, min(int(os.environ.get("FLIPS", "400")), len(places))):
        for value in {0, 255, good[place] ^ 1 << rng.randrange(8)} - {good[place]}:
            store.write_bytes(good[:place] + bytes([value]) + good[place + 1 :])
            begun = time.perf_counter()
            try:
                assert content(store) == before, (place, value)
            except StoreError as error:
                refused.append(str(error))
            assert time.perf_counter() - begun < 1
    assert len(refused) > 150
    assert all(line.startswith(f"{store}: ") and "\n" not in line for line in refused)


def test_a_false_place_is_found_without_a_digest_too(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        del file.attrs[opening.DIGEST]
        moved = {name: file[name].id.get_offset() for name in ("affine", "crops", "landmarks")}
    before = content(store)
    raw = store.read_bytes()
    for other in ("affine", "landmarks"):
        swapped = raw.replace(moved["crops"].to_bytes(8, "little"), moved[other].to_bytes(8, "little"))
        assert swapped != raw
        store.write_bytes(swapped)
        with pytest.raises(StoreError, match=f"{other} and crops overlap|crops and {other} overlap"):
            FaceStore(store)
    store.write_bytes(raw)
    assert content(store) == before


def test_a_change_by_hand_is_told_and_may_be_meant(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        file.attrs["margin"] = 3.0
    with pytest.raises(StoreError, match="not the one that was written.*delete the root attribute"):
        FaceStore(store)
    with h5py.File(store, "r+") as file:
        del file.attrs[opening.DIGEST]
    with FaceStore(store) as opened:
        assert opened.crop_spec.margin == 3.0


def soft(file: h5py.File) -> None:
    del file["crops"]
    file["crops"] = h5py.SoftLink("/affine")


def external(file: h5py.File) -> None:
    os.mkfifo(Path(file.filename).with_name("pipe"))
    del file["crops"]
    file["crops"] = h5py.ExternalLink(str(Path(file.filename).with_name("pipe")), "/crops")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(file["crops"].shape, "u1")
    layout[:] = h5py.VirtualSource("other.h5", "crops", file["crops"].shape)
    del file["crops"]
    file.create_virtual_dataset("crops", layout)


def external_rows(file: h5py.File) -> None:
    shape = file["crops"].shape
    del file["crops"]
    file.create_dataset("crops", shape, "u1", external=[("/etc/passwd", 0, 10**6)])


def chunked(file: h5py.File) -> None:
    rows = file["crops"][:]
    del file["crops"]
    file.create_dataset("crops", data=rows, chunks=True)


def compressed(file: h5py.File) -> None:
    rows = file["crops"][:]
    del file["crops"]
    file.create_dataset("crops", data=rows, compression="gzip")


def compact(file: h5py.File) -> None:
    made, rows = h5py.h5p.create(h5py.h5p.DATASET_CREATE), file["box"][:]
    made.set_layout(h5py.h5d.COMPACT)
    del file["box"]
    h5py.h5d.create(file.id, b"box", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(rows.shape), made)


def never_written(file: h5py.File) -> None:
    del file["crops"]
    file.create_dataset("crops", (5, 8, 8), "u1")


def twice(file: h5py.File) -> None:
    del file["visibility"]
    file["visibility"] = file["landmarks"]


def committed(file: h5py.File) -> None:
    file["kind"] = np.dtype("<f4")
    rows = file["box"][:]
    del file["box"]
    file.create_dataset("box", data=rows, dtype=file["kind"])


def loop(file: h5py.File) -> None:
    del file["crops"]
    file["crops"] = file["/"]


def references(file: h5py.File) -> None:
    del file["crops"]
    file.create_dataset("crops", data=np.array([file["/"].ref] * 5, h5py.ref_dtype))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (soft, "'crops' is a soft link"),
        (external, "links of other kinds"),
        (virtual, r"crops.*(virtual|newer|version)"),
        (external_rows, r"the rows of crops lie in other files \(external\)"),
        (chunked, "the rows of crops lie in chunks"),
        (compressed, "the rows of crops lie there compressed"),
        (compact, "the rows of box lie inside its description"),
        (never_written, "crops has no rows in this file"),
        (twice, "used twice"),
        (committed, "box: a type that lies elsewhere"),
        (loop, "used twice"),
        (references, "column crops is a reference"),
    ],
)
def test_what_reaches_out_of_the_file_or_around_in_it(
    store: Path, change: Callable[[h5py.File], None], message: str
) -> None:
    with h5py.File(store, "r+") as file:
        change(file)
    begun = time.perf_counter()
    with pytest.raises(StoreError, match=message) as caught:
        FaceStore(store)
    assert time.perf_counter() - begun < 2
    assert str(caught.value).startswith(f"{store}: ")


def test_the_layouts_of_later_libraries_are_named(tmp_path: Path, store: Path) -> None:
    with h5py.File(store) as old, h5py.File(tmp_path / "new.h5", "w", libver="v110") as new:
        new.attrs.update(old.attrs)
    with pytest.raises(StoreError, match="layout of version [23]; flmd writes and reads version 0"):
        FaceStore(tmp_path / "new.h5")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.h5"))
    for path in (tmp_path / "pipe.h5", tmp_path / "socket.h5", Path("/dev/zero"), tmp_path):
        with pytest.raises(StoreError, match="no regular file"):
            FaceStore(path)
    for path in (tmp_path / "none.h5", tmp_path / "a\0b"):
        with pytest.raises(StoreError):
            FaceStore(path)


def test_a_chain_of_headers_ends(tmp_path: Path, store: Path, good: bytes) -> None:
    """A header that is continued by itself: libhdf5 goes round for ever."""
    root = int.from_bytes(good[64:72], "little")
    looped = bytearray(good)
    looped[root + 16 : root + 40] = (
        (16).to_bytes(2, "little") + (16).to_bytes(2, "little") + bytes(4)
        + (root + 16).to_bytes(8, "little") + (24).to_bytes(8, "little")
    )  # fmt: skip
    store.write_bytes(bytes(looped))
    with pytest.raises(StoreError, match="used twice|lacks"):
        FaceStore(store)
