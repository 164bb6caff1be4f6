"""An evaluation as files and as a table: what `dvc metrics`, `dvc plots` and a reader look at.

=================== =========================================================================
file                what
=================== =========================================================================
metrics.json        numbers alone, nested so that DVC shows ``ibug300w.common.nme``; fractions
evaluation.json     what the numbers mean: normaliser, threshold, scheme, box sources; what all of it was
                    made from (``flmd.core.provenance``), and the digests of the other files
faces.csv           a row per face
plots/ced.csv       ``threshold``, then a column per data set and one of its mean shape
plots/ced/NAME.csv  the same of one data set: ``threshold, share, mean_shape``
plots/regions.csv   ``dataset, region, label, nme, mean_shape_nme``
=================== =========================================================================

Numbers are written with six decimals at most (a millionth of the normaliser), so that files compare.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from flmd.core import provenance
from flmd.core.nested import flattened, nested
from flmd.core.terminal import TextTable
from flmd.errors import InputError, one_line
from flmd.evaluation.measure import Evaluation, threshold_suffix

DECIMALS = 6
FILES = ("metrics.json", "faces.csv", "plots/ced.csv", "plots/regions.csv")
CURVES = "plots/ced"
LONGEST_NAME = 200  # bytes of a file's name without its ending
_UNUSUAL = re.compile(r"^\.|[^\w .,+=@()-]")
UNITS = {
    "inter_ocular": "the distance of the outer eye corners (inter-ocular)",
    "inter_pupil": "the distance of the pupils (inter-pupil)",
    "box": "sqrt(w h) of the box",
    "diagonal": "the box's diagonal",
}
FLATTERY = (
    "A box drawn from the true points (box source: landmarks) tells where the face ends and flatters every "
    "number here, the mean shape's most."
)


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write the files of the table above into ``folder``, the same bytes for the same evaluation."""
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    rounded = {
        name: value if isinstance(value, int) else round(value, DECIMALS)
        for name, value in evaluation.metrics.items()
    }
    _write_json(folder / "metrics.json", nested(rounded))
    _write_json(folder / "evaluation.json", evaluation.settings)
    for frame, name in (
        (evaluation.faces, "faces.csv"),
        (evaluation.curves, "plots/ced.csv"),
        (evaluation.regions, "plots/regions.csv"),
    ):
        write_csv(folder / name, frame)
    shutil.rmtree(folder / CURVES, ignore_errors=True)
    for name, curve in _curves(evaluation).items():
        write_csv(folder / CURVES / f"{name}.csv", curve)


def name_files(evaluation: Evaluation, folder: Path, more: Sequence[str]) -> None:
    """Write evaluation.json again, with the SHA-256 of all that :func:`write` wrote and of ``more`` files."""
    curves = [f"{CURVES}/{name}.csv" for name in _curves(evaluation)]
    files = [folder / name for name in (*FILES, *curves, *more)]
    settings = {**evaluation.settings, "files": provenance.digests_below(folder, files)}
    _write_json(folder / "evaluation.json", settings)


def read(folder: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """The metrics under their dotted names and the settings that :func:`write` wrote.

    Raises
    ------
    InputError : no such file, or not one that :func:`write` wrote.
    """
    trees = []
    for path in (folder / "metrics.json", folder / "evaluation.json"):
        try:
            tree = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise InputError("no such file", where=str(path), hint="evaluate a model first") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"not valid JSON: {one_line(error)}", where=str(path)) from None
        if not isinstance(tree, dict):
            raise InputError(f"holds a {type(tree).__name__}", where=str(path), expected="a JSON object")
        trees.append(tree)
    return flattened(trees[0]), trees[1]


def metrics_table(metrics: Mapping[str, float], settings: Mapping[str, Any]) -> tuple[str | TextTable, ...]:
    """The numbers for a terminal: a row per data set and subset, under a title that says what they mean.

    Parameters
    ----------
    metrics, settings : of an :class:`~flmd.evaluation.measure.Evaluation`, or from :func:`read`.

    Returns
    -------
    What :func:`flmd.core.terminal.show` prints.
    """
    threshold = settings["threshold"]
    suffix, share = threshold_suffix(threshold), f"{100 * threshold:g}%"
    sources = {name: sorted(entry["box_source"]) for name, entry in settings["datasets"].items()}
    boxes = ", ".join(f"{name} {'+'.join(kinds)}" for name, kinds in sources.items())
    title = f"NME in % of {UNITS[settings['normaliser']]}; AUC and FR at {share}; boxes: {boxes}"
    header = ["", "faces", "NME %", "mean shape %", "ratio", f"AUC@{share}", f"FR@{share}"]
    parts = [part for name in sources for part in (name, *_subsets(metrics, name))]
    rows = [[part, *_cells(metrics, part, suffix)] for part in parts]
    notes = []
    for name in sources:
        faces, missing = (int(metrics.get(f"{name}.{key}", 0)) for key in ("faces", "faces_unmeasured"))
        if missing:
            notes.append(f"{name}: {missing} of {faces} faces could not be measured and take no part.")
    if any("landmarks" in kinds for kinds in sources.values()):
        notes.append(FLATTERY)
    return title, "", TextTable(header, rows), *notes


def _subsets(metrics: Mapping[str, float], dataset: str) -> list[str]:
    """Parts of a data set that are neither pose nor size buckets, ``full`` last."""
    parts = [
        name.removesuffix(".faces")
        for name in metrics
        if name.startswith(f"{dataset}.") and name.endswith(".faces") and name != f"{dataset}.faces"
    ]
    named = [part for part in parts if not part.removeprefix(f"{dataset}.").startswith(("pose_", "size_"))]
    return sorted(named, key=lambda part: part.endswith(".full"))


def _cells(metrics: Mapping[str, float], part: str, suffix: str) -> list[str]:
    def cell(name: str, form: str, factor: float = 1) -> str:
        value = metrics.get(f"{part}.{name}")
        return "-" if value is None else format(value * factor, form)

    error, baseline = metrics.get(f"{part}.nme"), metrics.get(f"{part}.mean_shape_nme")
    ratio = f"{baseline / error:.2f}" if error and baseline is not None else "-"
    return [
        cell("faces", ".0f"),
        cell("nme", ".2f", 100),
        cell("mean_shape_nme", ".2f", 100),
        ratio,
        cell(f"auc{suffix}", ".3f"),
        cell(f"fr{suffix}", ".1%"),
    ]


def _curves(evaluation: Evaluation) -> dict[str, pd.DataFrame]:
    """File name -> the error distribution of one data set, so that dvc.yaml need not name them."""
    names = {"share": "", "mean_shape": "_mean_shape"}
    every = evaluation.curves
    return {
        file_name(name): pd.DataFrame(
            {"threshold": every["threshold"]} | {key: every[f"{name}{end}"] for key, end in names.items()}
        )
        for name in evaluation.settings["datasets"]
        if name in every
    }


def file_name(dataset: str) -> str:
    """The name of a data set as a file's, each its own: a store may say "../x" or what no file can be called.

    Usual names stay as they are. Other characters become %XX of their bytes, and of a name that is too long
    the rest becomes its SHA-256.
    """
    name = _UNUSUAL.sub(lambda found: "".join(f"%{byte:02X}" for byte in _bytes(found[0])), dataset)
    if len(_bytes(name)) <= LONGEST_NAME:
        return name
    return f"{_bytes(name)[:60].decode(errors='ignore')} {hashlib.sha256(_bytes(dataset)).hexdigest()}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """A table, its floats to DECIMALS places; folders above it are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _rounded(frame).to_csv(path, index=False, lineterminator="\n")


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """Floats to DECIMALS places, without a negative zero."""
    numbers = frame.select_dtypes("float64").columns
    return frame.assign(**{str(name): frame[name].round(DECIMALS) + 0.0 for name in numbers})


def _write_json(path: Path, tree: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(tree, indent=2, allow_nan=False) + "\n", encoding="utf-8")
