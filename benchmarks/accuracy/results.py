"""A row for each system measured, kept as JSON lines, and the tables made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flmd.errors import InputError
from flmd.evaluation.measure import Evaluation, TestFaces, threshold_suffix
from flmd.store.face_store import FaceStore

FILE = "results.jsonl"
MISSING = "–"


@dataclass(frozen=True)
class Row:
    """One system, measured once.

    Attributes
    ----------
    system : its name in the tables.
    test_faces : data set -> digest of the faces it was measured on; only rows that agree in it stand in one
        table. splits : data set -> how its test faces were chosen.
    command, seed : what to type to get the row again.
    ran : what was trained, in words made of the numbers used. whole : whether that was all of its schedule;
        short trainings stand in a table of their own. seconds, cpu_seconds : that the training
        took; None where nothing was trained here. On a busy machine, or one that stopped the training for
        a while, only the second says how long it takes.
    metrics : as :class:`flmd.evaluation.measure.Evaluation` has them: fractions under dotted names.
    settings : likewise, what the metrics mean.
    regions : data set -> region -> NME.
    parameters, flops, bytes, latency : of one face; None where there is no such number.
    """

    system: str
    test_faces: dict[str, str]
    splits: dict[str, str]
    command: str
    seed: int
    ran: str
    metrics: dict[str, float]
    settings: dict[str, Any]
    regions: dict[str, dict[str, float]]
    parameters: int | None = None
    flops: int | None = None
    bytes: int | None = None
    latency: dict[str, float] | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    whole: bool = True


def digests_of(faces: TestFaces) -> dict[str, str]:
    """Data set -> digest of its pictures and true points: equal for the same faces in any order.

    Boxes take no part: systems are told them as their authors have them, and the tables say whose.
    """
    found = {}
    names = np.array(faces.dataset)
    for name in dict.fromkeys(faces.dataset):
        rows = np.flatnonzero(names == name)
        each = sorted(
            faces.image[row].encode() + faces.landmarks[row].tobytes() + faces.visibility[row].tobytes()
            for row in rows
        )
        found[name] = hashlib.sha256(b"".join(each)).hexdigest()[:16]
    return found


def splits_of(store: FaceStore) -> dict[str, str]:
    """Data set -> the split policy that its store was made with; "" where the store does not say."""
    made: dict[str, Any] = dict(store.made_from)
    names = list(dict.fromkeys(store.texts("dataset")))
    earlier = made.get("earlier", {})
    joined = {Path(file).stem: earlier.get(digest, {}) for file, digest in made.get("inputs", {}).items()}
    records = {name: joined.get(name) or (made if len(names) == 1 else {}) for name in names}
    params = {name: record.get("params", {}) for name, record in records.items()}
    return {name: str(dict(one.get("dataset", one)).get("split", "")) for name, one in params.items()}


def regions_of(measured: Evaluation) -> dict[str, dict[str, float]]:
    """Data set -> region -> NME, without regions that have no number."""
    found: dict[str, dict[str, float]] = {}
    for row in measured.regions.to_dict("records"):
        if np.isfinite(row["nme"]):
            found.setdefault(str(row["dataset"]), {})[str(row["region"])] = float(row["nme"])
    return found


def append(row: Row, folder: Path) -> Path:
    """Add a row to ``FILE`` in the folder, in one write, so that two systems may finish together."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps(asdict(row), allow_nan=False) + "\n")
    return path


def read(paths: Iterable[Path]) -> list[Row]:
    """The rows of files, or of the ``FILE`` in folders.

    Raises
    ------
    InputError : no such file, or a line that is no row; it says which.
    """
    rows = []
    for path in paths:
        file = path / FILE if path.is_dir() else path
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            raise InputError("no such file", where=str(file), hint="measure a system first") from None
        for number, line in enumerate(lines, 1):
            try:
                rows.append(Row(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise InputError(f"not a row: {error}", where=f"{file}:{number}") from None
    return rows


def groups(rows: Iterable[Row]) -> dict[tuple[str, str], dict[str, Row]]:
    """(data set, digest of its test faces) -> name of a system -> its row.

    Of several rows of one system on the same faces the last stands.
    """
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        for dataset in row.regions:
            found.setdefault((dataset, row.test_faces[dataset]), {})[row.system] = row
    return dict(sorted(found.items(), key=lambda item: item[0][0]))


def markdown(rows: Iterable[Row]) -> str:
    """Tables by data set and test faces, the most accurate system first, and how each row was made.

    Trainings that were not whole come last, in one table.
    """
    lines: list[str] = []
    short: list[tuple[str, Row]] = []
    for (dataset, _), systems in groups(rows).items():
        short += [(dataset, row) for row in systems.values() if not row.whole]
        if whole := [row for row in systems.values() if row.whole]:
            lines += _section(dataset, whole)
    if short:
        lines += _short(short)
    return "\n".join(lines).rstrip() + "\n"


def _section(dataset: str, rows: list[Row]) -> list[str]:
    measured = [row for row in rows if f"{dataset}.nme" in row.metrics]
    measured.sort(key=lambda row: row.metrics[f"{dataset}.nme"])
    settings = measured[0].settings
    threshold, suffix = settings["threshold"], threshold_suffix(settings["threshold"])
    parts = [
        p for p in ("", ".common", ".challenging", ".full") if f"{dataset}{p}.nme" in measured[0].metrics
    ]
    lines = [
        f"### {dataset}, split {measured[0].splits.get(dataset) or 'unknown'}",
        "",
        f"NME is in % of the normaliser ({settings['normaliser']}), AUC and FR are at {threshold:g}. "
        "*Boxes*: what a system is told of where the face is. FLOPs and milliseconds are for one face, on "
        "one thread; a network starts from its input, dlib from the decoded picture. *Load*: of the machine "
        "meanwhile.",
        "",
    ]
    for part in parts:
        if part and len(parts) == 2:
            continue  # all faces are of one subset: the same numbers again
        counts = {int(row.metrics[f"{dataset}{part}.faces"]) for row in measured}
        title = part.removeprefix(".") or "all"
        heads = ["boxes", "NME %", f"AUC@{threshold:g}", f"FR@{threshold:g}", "parameters", "MFLOPs"]
        body = [
            [
                row.system,
                "+".join(sorted(row.settings["datasets"][dataset]["box_source"])),
                _percent(row.metrics.get(f"{dataset}{part}.nme")),
                _number(row.metrics.get(f"{dataset}{part}.auc{suffix}"), 3),
                _percent(row.metrics.get(f"{dataset}{part}.fr{suffix}"), 1, " %"),
                _number(row.parameters),
                _number(None if row.flops is None else row.flops / 1e6, 1),
                *(_number((row.latency or {}).get(name), 2) for name in ("median", "p95", "load")),
                _number(None if row.bytes is None else row.bytes / 2**20, 1),
            ]
            for row in measured
        ]
        heads += ["ms, median", "ms, p95", "load", "MiB"]
        lines += _table([f"{title} ({'/'.join(map(str, sorted(counts)))} faces)", *heads], body)
    names = list(dict.fromkeys(name for row in measured for name in row.regions.get(dataset, {})))
    body = [[row.system, *(_percent(row.regions[dataset].get(name)) for name in names)] for row in measured]
    lines += _table(["NME % by region", *names], body)
    body = [
        [
            *(row.system, row.ran, _duration(row.seconds), _duration(row.cpu_seconds)),
            *(str(row.seed), f"`{row.command}`"),
        ]
        for row in measured
    ]
    heads = ["system", "what ran", "training took", "of the CPU", "seed", "command"]
    return lines + _table(heads, body, rule="---")


def _short(rows: list[tuple[str, Row]]) -> list[str]:
    lines = [
        "### Short trainings",
        "",
        "What these systems reach cannot be told from here: they ran a part of their schedules, as *what "
        "ran* says. *Mean shape*: its NME on the same faces and boxes, which looks at no picture.",
        "",
    ]
    body = [
        [
            *(row.system, f"{dataset}, {row.splits.get(dataset) or 'unknown'}", row.ran),
            _percent(row.metrics.get(f"{dataset}.nme")),
            _percent(row.metrics.get(f"{dataset}.mean_shape_nme")),
            *(_duration(row.cpu_seconds), str(row.seed), f"`{row.command}`"),
        ]
        for dataset, row in rows
    ]
    heads = ["system", "test faces", "what ran", "NME %", "mean shape %", "of the CPU", "seed", "command"]
    return lines + _table(heads, body, rule="---")


def _table(heads: list[str], body: list[list[str]], rule: str = "---:") -> list[str]:
    """Lines of a table; ``rule`` of all columns but the first."""
    rules = ["---", *[rule] * (len(heads) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (heads, rules, *body)] + [""]


def _percent(value: float | None, decimals: int = 2, unit: str = "") -> str:
    return MISSING if value is None else f"{value * 100:.{decimals}f}{unit}"


def _number(value: float | None, decimals: int = 0) -> str:
    return MISSING if value is None else f"{value:,.{decimals}f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return MISSING
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
