"""``python -m benchmarks.agreement``: the same model's points by Python, command line, ONNX Runtime and page.

    python -m benchmarks.agreement best.pt ../shared/data/dlib_faces ../shared/data/ibug_300w --pictures 50

Each way is one that a user has: ``flmd.load(model).predict``; a process of ``flmd predict`` and the COCO
file that it writes; a process of ``flmd export --to onnx`` and ``flmd.load`` of its file; ``flmd app`` in
Chromium, which uploads each picture and downloads its annotations. Exit status 1: a way finds another number
of faces, or a point more than 0.001 px from Python's. 2: something cannot be used.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from benchmarks import four_ways
from benchmarks.four_ways import Points
from flmd import errors
from flmd.app.kinds import kind_of
from flmd.errors import InputError, ParamsError
from flmd.inference import detection
from flmd.inference.picture import open_picture

LIMIT = 1e-3  # px
PACKAGES = ("flmd", "torch", "onnxruntime", "opencv-python-headless", "numpy", "streamlit")


@dataclass(frozen=True)
class Compared:
    """One picture's points by one way, beside Python's.

    Attributes
    ----------
    expected, faces : how many faces Python and this way found.
    px : the largest distance of a point from Python's; None where the numbers of faces differ.
    """

    picture: str
    expected: int
    faces: int
    px: float | None

    @property
    def agrees(self) -> bool:
        return self.px is not None and self.px <= LIMIT


def compared(python: Points, other: Points) -> list[Compared]:
    """Each picture in which Python found faces; faces are matched in order."""
    rows = []
    for name, truth in python.items():
        points = other.get(name, np.zeros((0, 0, 2), np.float32))
        px = None
        if points.shape == truth.shape:
            px = float(np.hypot(*np.moveaxis(points.astype(float) - truth, -1, 0)).max())
        rows.append(Compared(name, len(truth), len(points), px))
    return rows


def pick(
    lists: Sequence[Sequence[Path]], count: int, has_face: Callable[[Path], bool], seed: int
) -> tuple[list[Path], list[Path]]:
    """``count`` pictures, as many of each list as far as it has them, evenly spread over it.

    A list is cut into even stretches; of each, the first picture with a face in a random order is taken.

    Returns
    -------
    The pictures, in the lists' order; those that were looked at in vain. InputError when there are too few.
    """
    random = np.random.default_rng(seed)
    chosen: set[Path] = set()
    faceless = []
    for number, files in enumerate(sorted(lists, key=len)):
        share = min((count - len(chosen)) // (len(lists) - number), len(files))
        for stretch in np.array_split(np.arange(len(files)), share) if share else []:
            for path in (files[i] for i in random.permutation(stretch)):
                if has_face(path):
                    chosen.add(path)
                    break
                faceless.append(path)
    if len(chosen) < count:
        raise InputError(
            f"a face in {len(chosen)} pictures, {len(faceless)} without",
            expected=f"{count} with one",
            hint="name more pictures, or fewer with --pictures",
        )
    return [path for files in lists for path in files if path in chosen], faceless


def listed(arguments: Sequence[str]) -> list[list[Path]]:
    """The pictures that were named, and those of each folder, sorted; each picture once.

    Only the kinds that all four ways take: the page takes fewer than ``flmd predict``.
    """
    paths = [Path(argument) for argument in arguments]
    for path in paths:
        if not path.exists():
            raise InputError("no such file or folder", where=str(path))
    groups = [[path for path in paths if path.is_file()]]
    groups += [sorted(path.rglob("*")) for path in paths if path.is_dir()]
    seen: set[Path] = set()
    lists = []
    for group in groups:
        once = {path.resolve(): path for path in group if path.is_file() and _is_picture(path)}
        lists.append([path for whole, path in once.items() if whole not in seen])
        seen.update(once)
    return [files for files in lists if files]


def table(ways: dict[str, list[Compared]]) -> str:
    """Markdown: a row for each way."""
    lines = [
        "| points by | pictures | faces | pictures with another number of faces "
        "| largest difference from Python, px | pictures over the limit |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for way, rows in ways.items():
        px = [row.px for row in rows if row.px is not None]
        cells = (
            str(len(rows)),
            str(sum(row.faces for row in rows)),
            str(len(rows) - len(px)),
            f"{max(px):.2g}" if px else "",
            str(sum(p > LIMIT for p in px)),
        )
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differing(ways: dict[str, list[Compared]], names: dict[str, Path]) -> Iterator[str]:
    """A line for each picture whose points, or number of faces, are not Python's."""
    for way, rows in ways.items():
        for row in rows:
            if not row.agrees:
                what = f"{row.px:.2g} px" if row.px is not None else f"{row.faces} faces, not {row.expected}"
                yield f"{way}: {names[row.picture]}: {what}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement")
    parser.add_argument("model", type=Path, help="best.pt of a training")
    parser.add_argument("sources", nargs="+", metavar="PICTURES", help="files and folders")
    parser.add_argument("--pictures", type=int, default=50, help="how many, each with a face")
    parser.add_argument("--detector", default="haar", help="haar, none or yunet:FILE.onnx")
    parser.add_argument("--seed", type=int, default=7, help="of the choice of pictures")
    parser.add_argument("--out", type=Path, default=Path("reports/agreement.json"))
    chosen = parser.parse_args()
    agreed: list[bool] = []
    status = errors.run(lambda: agreed.append(_run(chosen)))
    sys.exit(status or int(agreed != [True]))


def _run(chosen: argparse.Namespace) -> bool:
    """Whether all ways agree; prints the table and writes the report."""
    if chosen.pictures < 1:
        raise ParamsError(f"--pictures is {chosen.pictures}", expected="1 or more")
    if chosen.out.is_dir():
        raise ParamsError("is a folder", where=str(chosen.out), expected="the name of a file for the report")
    if chosen.detector.partition(":")[0] not in four_ways.ON_PAGE:
        expected = f"one of the page: {', '.join(four_ways.ON_PAGE)}"
        raise ParamsError(f"--detector is {chosen.detector!r}", expected=expected)
    find = detection.get(chosen.detector)
    if not chosen.model.is_file():
        raise InputError("no such model", where=str(chosen.model))
    lists = listed(chosen.sources)
    with tqdm(total=chosen.pictures, desc="faces", unit="picture", disable=None) as bar:

        def has_face(path: Path) -> bool:
            found = len(find(open_picture(path)).boxes) > 0
            bar.update(found)
            return found

        picked, faceless = pick(lists, chosen.pictures, has_face, chosen.seed)
    print(f"{chosen.model.name}, {chosen.detector}: {len(picked)} pictures, seed {chosen.seed}")
    print(f"passed over, no face in: {', '.join(map(str, faceless)) or 'none'} ({len(faceless)})")
    with TemporaryDirectory(prefix="flmd-agreement-") as name:
        scratch = Path(name)
        (scratch / "pictures").mkdir()
        # Under names that say their order, so that two pictures of the same name stay apart.
        copies = [scratch / "pictures" / f"{i:04d}{path.suffix}" for i, path in enumerate(picked)]
        for path, copy in zip(picked, copies, strict=True):
            shutil.copyfile(path, copy)
        # All ways get the same bytes, whatever a training makes of the file meanwhile.
        model = scratch / chosen.model.name
        shutil.copyfile(chosen.model, model)
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        python = four_ways.by_python(model, copies, chosen.detector)
        ways = {
            "command line": four_ways.by_command(model, copies, chosen.detector, scratch / "predicted"),
            "ONNX Runtime": four_ways.by_onnx(model, copies, chosen.detector, scratch / "exported.onnx"),
            "web page": four_ways.by_app(model, copies, chosen.detector, scratch),
        }
    rows = {way: compared(python, points) for way, points in ways.items()}
    agrees = all(row.agrees for found in rows.values() for row in found)
    print(table(rows))
    for line in differing(rows, {copy.name: path for copy, path in zip(copies, picked, strict=True)}):
        print(line)
    print(f"all within {LIMIT:g} px" if agrees else f"not all within {LIMIT:g} px")
    _write(chosen, digest, picked, faceless, rows, agrees)
    return agrees


def _write(
    chosen: argparse.Namespace,
    digest: str,
    picked: Sequence[Path],
    faceless: Sequence[Path],
    ways: dict[str, list[Compared]],
    agrees: bool,
) -> None:
    rows = [
        {
            "picture": str(path),
            "size": list(open_picture(path).size),
            "faces": next(iter(ways.values()))[number].expected,
            "px": {way: found[number].px for way, found in ways.items()},
        }
        for number, path in enumerate(picked)
    ]
    report = {
        "model": {"name": chosen.model.name, "sha256": digest},
        "detector": chosen.detector,
        "seed": chosen.seed,
        "limit_px": LIMIT,
        "agrees": agrees,
        "versions": {name: version(name) for name in PACKAGES},
        "without_a_face": list(map(str, faceless)),
        "pictures": rows,
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    temporary = chosen.out.with_name(f".{chosen.out.name}.tmp")
    temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    temporary.replace(chosen.out)


def _is_picture(path: Path) -> bool:
    with path.open("rb") as file:
        return kind_of(file.read(32)) is not None


if __name__ == "__main__":
    main()
