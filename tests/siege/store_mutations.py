"""Mutations of stores and training arrays that know their structure."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np

from flmd.augmentation import build
from flmd.core.params import AugmentParams
from flmd.store import opening
from flmd.store.face_store import FaceStore
from flmd.store.layout import TEXTS
from tests.factories import convert_list, make_face, write_picture

NUMERIC = ("crops", "affine", "landmarks", "visibility", "box", "image_size")
ATTRIBUTES = ("format", "version", "scheme", "crop_size", "margin", "color", "made_from", opening.DIGEST)
DTYPES = ("i1", "u1", "i2", ">i2", "u4", "i8", "f2", "f4", ">f4", "f8", "c8", "S3", "?", "f4,f4")
VALUES = (
    0.0,
    -1.0,
    3.0,
    1e-30,
    1e9,
    1e20,
    1e38,
    -1e38,
    float("nan"),
    float("inf"),
    float("-inf"),
    255.0,
    2**31 - 1,
)
DEEP = '{"a":' * 900 + "1" + "}" * 900
STRINGS = (
    "", "\0", "dev", "test", "../../x", "/etc/passwd", "a/../b", "C:\\x", "a\nb", "\x1b[31mred", "é",
    "x" * 300, "null", "[]", "{", "[1]", '{"a": {"b": 1}}', '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}',
    DEEP,
    '{"inputs": []}', '{"earlier": {"a": []}}', '{"params": 3, "stage": {}}',
    '{"earlier": {"a": {"inputs": {"b": 2}}}}',
    "ibug68", "ibug51", "wflw98", "points7", "points99999999", "grey", "rgb", "flmd-arrays", "**",
    "%s%n", "{0}",
)  # fmt: skip
BYTES = (b"\xff\xfe", b"\xed\xa0\x80", b"\x80", b"a\0b", b"\xc3")
NUMBERS = (0, 1, -1, 2, 15, 16, 17, 2**31, 2**62, 2**63, 0.0, 1e-300, 1e300, -1.5, float("nan"), float("inf"))


@dataclass(frozen=True)
class Seeds:
    """Good files: stores with colour and grey crops, training arrays; a model; params of a short training."""

    stores: tuple[Path, ...]
    arrays: Path
    model: Path
    params: Path

    @property
    def good(self) -> Path:
        """The store with crops in colour."""
        return self.stores[0]


def make_seeds(folder: Path) -> Seeds:
    """Write the good files."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    rng = np.random.default_rng(0)
    faces = []
    for i in range(8):
        write_picture(folder / f"p{i}.png", rng.integers(0, 255, (110, 130, 3), dtype=np.uint8))
        split = ("train", "train", "train", "test", "val")[i % 5]
        face = make_face(f"p{i}.png", seed=i, subject=f"s{i // 2}", split=split)
        face.attributes = {"note": "n" * 60, "pose": i}
        faces.append(face)
    stores = []
    for color, size in (("rgb", 32), ("grey", 24)):
        convert_list(folder, faces, folder / f"{color}.h5", size=size, color=color)[1].close()
        stores.append(folder / f"{color}.h5")
    arrays = folder / "arrays.h5"
    config = AugmentParams(input_size=16, padding=1.3, rotation=0, scale=0, shift=0, flip=False, variants=1)
    with FaceStore(stores[0]) as store:
        build.build(store, arrays, config, seed=0, made_from={}, workers=1)
    return Seeds(tuple(stores), arrays, _model(folder / "m.pt"), _params(folder / "params.yaml"))


def _model(path: Path) -> Path:
    """A network that was never trained, for the points of the stores."""
    import torch

    from flmd.core.crop_spec import CropSpec
    from flmd.models.checkpoint import ModelInfo, save_model, weights_of
    from flmd.models.normalisation import Normalisation

    torch.manual_seed(0)
    info = ModelInfo(
        network="cnn2",
        options={"width": 4, "hidden": 16},
        points=68,
        channels=1,
        scheme="ibug68",
        normalisation=Normalisation(32),
        crop=CropSpec(32, 1.3, "grey", augmentation={"variants": 1}),
    )
    save_model(path, weights_of(info.build()), info)
    return path


def _params(path: Path) -> Path:
    """The repository's params, made small; on the instructions that this process has loaded."""
    import yaml

    tree = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))
    tree["augment"] |= {"variants": 1, "albumentations": [], "input_size": 32, "rotation": 5}
    small = {"width": 4, "hidden": 16}
    tree["train"] |= {"network": "cnn2", "network_options": small, "epochs": 1, "batch": 4, "cpu": "native"}
    tree["train"] |= {"device": "cpu", "threads": 1}
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def mutate(seeds: Seeds, target: Path, rng: random.Random) -> str:
    """Write a changed copy of a good file; what was done, in words."""
    if rng.random() < 0.02:
        return _no_file(target, rng)
    source = rng.choice([*seeds.stores, seeds.stores[0], seeds.arrays])
    target.write_bytes(source.read_bytes())
    told = [source.name]
    sealed = rng.random() < 0.15  # with the old digest most changes end at the digest
    kinds = [rng.choice(MUTATIONS) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    with h5py.File(target, "r+", libver="earliest") as file:
        for mutation in kinds:
            try:
                told.append(mutation(file, rng))
            except (KeyError, ValueError, TypeError, RuntimeError, OSError, AttributeError) as error:
                told.append(f"{mutation.__name__} could not: {type(error).__name__}")
        if not sealed and opening.DIGEST in file.attrs:
            del file.attrs[opening.DIGEST]
    if rng.random() < 0.35:
        told.append(_bytes(target, rng))
    return "; ".join(told)


def _dataset(file: h5py.File, rng: random.Random) -> str:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return rng.choice(sorted(names))


def retyped(file: h5py.File, rng: random.Random) -> str:
    """A column of another type."""
    name, kind = _dataset(file, rng), rng.choice(DTYPES)
    shape = file[name].shape
    with np.errstate(all="ignore"):
        values = (
            np.zeros(shape, kind)
            if file[name].dtype.kind == "S" or "," in kind
            else file[name][:].astype(kind)
        )
    del file[name]
    file[name] = values
    return f"{name} as {kind}"


def reshaped(file: h5py.File, rng: random.Random) -> str:
    """A column of another shape, or none."""
    name = _dataset(file, rng)
    values: Any = file[name][:]
    change = rng.choice(("less", "more", "flat", "none", "scalar", "null", "rank"))
    if change == "scalar":
        values = values.dtype.type()
    elif change == "null":
        values = h5py.Empty(values.dtype)
    else:
        values = {
            "less": values[:-1],
            "more": np.concatenate([values, values[:1]]),
            "flat": values.reshape(-1),
            "none": values[:0],
            "rank": values[..., None],
        }[change]
    del file[name]
    file[name] = values
    return f"{name} {change}"


def emptied(file: h5py.File, rng: random.Random) -> str:
    """Every column of a store without a row, or with few."""
    keep = rng.choice((0, 1, 2))
    for name in [n for n, item in file.items() if isinstance(item, h5py.Dataset)]:
        values = file[name][:keep]
        del file[name]
        file[name] = values
    return f"{keep} rows"


def linked(file: h5py.File, rng: random.Random) -> str:
    """Links, groups, loops, and rows that lie elsewhere."""
    name, other = _dataset(file, rng), _dataset(file, rng)
    shape, kind = file[name].shape, file[name].dtype
    how = rng.choice(
        ("soft", "itself", "external", "pipe", "root", "twice", "group", "gone", "virtual", "outside",
         "reference", "chunks", "gzip", "committed", "unwritten")
    )  # fmt: skip
    rows = file[name][:]
    pipe = Path(file.filename).with_name("pipe")
    if how == "pipe":
        os.mkfifo(pipe)
    layout = h5py.VirtualLayout(shape, kind)
    layout[...] = h5py.VirtualSource("other.h5", "x", shape)
    del file[name]
    if how in ("soft", "itself"):
        file[name] = h5py.SoftLink("/" + (other if how == "soft" else name))
    elif how in ("external", "pipe"):
        file[name] = h5py.ExternalLink(str(pipe) if how == "pipe" else "/etc/passwd", "/crops")
    elif how in ("root", "twice"):
        file[name] = file["/" if how == "root" else other]
    elif how == "group":
        file.create_group(name)["x"] = np.zeros(3)
    elif how == "virtual":
        file.create_virtual_dataset(name, layout)
    elif how == "outside":
        file.create_dataset(name, shape, kind, external=[("/etc/passwd", 0, rows.nbytes)])
    elif how == "reference":
        file[name] = np.array([file["/"].ref] * len(rows), h5py.ref_dtype)
    elif how in ("chunks", "gzip"):
        file.create_dataset(name, data=rows, chunks=True, compression="gzip" if how == "gzip" else None)
    elif how == "committed":
        file["type"] = kind
        file.create_dataset(name, data=rows, dtype=file["type"])
    elif how == "unwritten":
        file.create_dataset(name, shape, kind)
    return f"{name} {how}"


def attribute(file: h5py.File, rng: random.Random) -> str:
    """A root attribute that is missing, of another type, or says something else."""
    name = rng.choice([*ATTRIBUTES, "crop", "seed", "made_from"])
    value: Any = rng.choice(
        (None, rng.choice(STRINGS), rng.choice(NUMBERS), rng.choice(BYTES), np.arange(3), h5py.Empty("f4"),
         True, np.array(7, ">i4"), np.void(b"ab"), 1j, np.float32("nan"), ["a", "b"],
         rng.choice(STRINGS), file.ref)
    )  # fmt: skip
    if value is None:
        del file.attrs[name]
    else:
        file.attrs[name] = value
    return f"attribute {name} = {value!r:.40}"


def number(file: h5py.File, rng: random.Random) -> str:
    """Some numbers of a column set to an extreme."""
    name = _dataset(file, rng)
    while file[name].dtype.kind == "S":
        name = _dataset(file, rng)
    rows, value = file[name][:], rng.choice(VALUES)
    flat = rows.reshape(-1)
    with np.errstate(all="ignore"):
        if rng.random() < 0.3:
            flat[:] = np.array(value).astype(rows.dtype)
        elif rng.random() < 0.3:
            rows[rng.randrange(len(rows))] = np.array(value).astype(rows.dtype)
        else:
            flat[rng.randrange(len(flat))] = np.array(value).astype(rows.dtype)
    file[name][...] = rows
    return f"{name} values {value:g}"


def text(file: h5py.File, rng: random.Random) -> str:
    """Texts of a column replaced: not UTF-8, escapes, paths, JSON of every kind; wider if need be."""
    name = rng.choice([n for n in TEXTS if n in file] or ["train/dataset"])
    value = rng.choice((rng.choice(BYTES), rng.choice(STRINGS).encode()))
    rows = file[name][:].astype(f"S{max(file[name].dtype.itemsize, len(value), 1)}")
    rows[rng.randrange(len(rows)) if rng.random() < 0.7 else slice(None)] = value
    del file[name]
    file[name] = rows
    return f"{name} text {value[:30]!r}"


def renamed(file: h5py.File, rng: random.Random) -> str:
    """A column under the name of another."""
    one, two = _dataset(file, rng), _dataset(file, rng)
    file.move(one, "waiting")
    if two != one:
        file.move(two, one)
    file.move("waiting", two)
    return f"{one} and {two} swapped"


def untouched(file: h5py.File, rng: random.Random) -> str:
    """Nothing: what follows are changed bytes."""
    return "as it was"


MUTATIONS: tuple[Callable[[h5py.File, random.Random], str], ...] = (
    retyped, reshaped, emptied, linked, linked, attribute, attribute, number, number, number, text, text,
    renamed, untouched, untouched, untouched,
)  # fmt: skip


def _no_file(target: Path, rng: random.Random) -> str:
    kind = rng.choice(("pipe", "folder", "socket", "link to itself", "device", "nothing", "empty"))
    if kind == "pipe":
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(target))
    elif kind == "link to itself":
        target.symlink_to(target)
    elif kind == "device":
        target.symlink_to("/dev/zero")
    elif kind == "empty":
        target.write_bytes(b"")
    return f"{kind} in place of the file"


def _bytes(path: Path, rng: random.Random) -> str:
    """Changed bytes: of the description mostly; a cut, a doubled or zeroed piece."""
    data = bytearray(path.read_bytes())
    how = rng.choice(("flips", "flips", "flips", "zero", "cut", "tail", "piece"))
    if how == "flips":
        places = _described(bytes(data))
        changed = [rng.choice(places) for _ in range(rng.choice((1, 1, 2, 8)))]
        for place in changed:
            data[place] = rng.choice((0, 255, data[place] ^ 1 << rng.randrange(8), rng.randrange(256)))
        told = f"flips at {changed}"
    else:
        at, size = rng.randrange(len(data)), rng.choice((1, 8, 64, 512, 4096))
        told = f"{how} at {at}, {size}"
        if how == "zero":
            data[at : at + size] = bytes(len(data[at : at + size]))
        elif how == "cut":
            del data[at:]
        elif how == "tail":
            data += rng.randbytes(size)
        else:
            to = rng.randrange(len(data))
            data[to : to + size] = data[at : at + len(data[to : to + size])]
    path.write_bytes(bytes(data))
    return told


def _described(data: bytes) -> list[int]:
    """Offsets of the description: the beginning, and what follows each signature of one of its blocks."""
    found = set(range(min(len(data), 2048)))
    for signature in (b"TREE", b"SNOD", b"HEAP", b"GCOL"):
        at = data.find(signature)
        while at >= 0:
            found |= set(range(at, min(at + 700, len(data))))
            at = data.find(signature, at + 1)
    return sorted(found)
