"""What an experiment left behind, read into one object; what is absent or broken is named, never fatal."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from flmd.errors import InputError
from flmd.experiments.revision_files import ExperimentFiles, parsed

PNG = b"\x89PNG\r\n\x1a\n"
TRAINING = "reports/training/plots/metrics"
PLOTS = "reports/plots"
DATA = "reports/data"
Flat = dict[str, Any]
Columns = dict[str, list[str]]


@dataclass
class Evidence:
    """One experiment.

    Attributes
    ----------
    name : for people.
    metrics, settings, params : reports/metrics.json, evaluation.json and params.yaml, names with dots.
    curves : "train_loss" -> a value for each epoch, from the first on.
    ced, regions : the columns of reports/plots/ced.csv and regions.csv.
    pictures : name -> PNG bytes of reports/plots.
    audits : data set -> its loss report, names with dots.
    outputs : path -> digest of every output in dvc.lock.
    missing : what could not be read, a line each.
    stale : what is not as dvc.lock says, a line each.
    """

    name: str
    metrics: Flat = field(default_factory=dict)
    settings: Flat = field(default_factory=dict)
    params: Flat = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    ced: dict[str, list[float]] = field(default_factory=dict)
    regions: Columns = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    audits: dict[str, Flat] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing of it at all."""
        found = (self.metrics, self.settings, self.params, self.curves, self.ced, self.regions)
        return not any((*found, self.pictures, self.audits, self.outputs))

    @property
    def datasets(self) -> list[str]:
        """The data sets that were measured."""
        return list(dict.fromkeys(name.partition(".")[0] for name in self.metrics if "." in name))


def gather(files: ExperimentFiles) -> Evidence:
    """Read all there is of an experiment."""
    found = Evidence(files.name)
    found.metrics = _mapping(files, "reports/metrics.json", found)
    found.settings = _mapping(files, "reports/evaluation.json", found)
    found.params = _mapping(files, "params.yaml", found)
    for name in files.listing(TRAINING):
        if name.endswith(".tsv"):
            values = _table(files, f"{TRAINING}/{name}", found, "\t").get(name.removesuffix(".tsv"), [])
            found.curves[name.removesuffix(".tsv")] = [_number(text) for text in values]
    if not found.curves:
        found.missing.append(files.why_missing(TRAINING))
    ced = _table(files, f"{PLOTS}/ced.csv", found)
    found.ced = {name: [_number(text) for text in values] for name, values in ced.items()}
    found.regions = _table(files, f"{PLOTS}/regions.csv", found)
    for name in files.listing(PLOTS):
        if name.endswith(".png"):
            data = _bytes(files, f"{PLOTS}/{name}", found)
            if data is not None and not data.startswith(PNG):
                found.missing.append(f"{PLOTS}/{name} of {files.name} is not a PNG picture")
            elif data is not None:
                found.pictures[name.removesuffix(".png")] = data
    for name in files.listing(DATA):
        if name.endswith(".json"):
            found.audits[name.removesuffix(".json")] = _mapping(files, f"{DATA}/{name}", found)
    if not found.audits:
        found.missing.append(files.why_missing(DATA))
    _compare_with_lock(files, found)
    return found


def _bytes(files: ExperimentFiles, path: str, found: Evidence) -> bytes | None:
    data = files.read(path)
    if data is None:
        found.missing.append(files.why_missing(path))
    return data


def _mapping(files: ExperimentFiles, path: str, found: Evidence) -> Flat:
    data = _bytes(files, path, found)
    try:
        return {} if data is None else parsed(data, path, files.name)
    except InputError as error:
        found.missing.append(str(error))
        return {}


def _table(files: ExperimentFiles, path: str, found: Evidence, delimiter: str = ",") -> Columns:
    """The columns of a table by their names, all of one length."""
    data = _bytes(files, path, found)
    if data is None:
        return {}
    try:
        rows = list(
            csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter=delimiter, strict=True)
        )
        header, *body = rows or [[]]
        columns = zip(*body, strict=True) if body else ([] for _ in header)
        return {name: list(column) for name, column in zip(header, columns, strict=True)}
    except (ValueError, csv.Error) as error:
        found.missing.append(f"{path} of {files.name} is not a table: {error}")
        return {}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _compare_with_lock(files: ExperimentFiles, found: Evidence) -> None:
    """Read the digests of outputs from dvc.lock, and notice files and params that are newer than it."""
    lock = _mapping(files, "dvc.lock", found)
    for key, outs in lock.items():
        if key.startswith("stages.") and key.endswith(".outs") and isinstance(outs, list):
            for out in outs:
                if isinstance(out, Mapping) and "path" in out:
                    kind = str(out.get("hash", "md5"))
                    found.outputs[str(out["path"])] = f"{kind} {out.get(kind, 'unknown')}"
    for path in ("reports/metrics.json", "reports/evaluation.json"):
        data, digest = files.read(path), found.outputs.get(path)
        if data is not None and digest is not None:
            actual = hashlib.md5(data, usedforsecurity=False).hexdigest()
            if digest != f"md5 {actual}":
                found.stale.append(f"{path} is not what dvc.lock says; `dvc repro` makes it again")
    for stage, name, used in _locked_params(lock):
        if found.params and found.params.get(name) != used:
            found.stale.append(
                f"stage {stage} ran with {name}: {used}, params.yaml says {found.params.get(name)}"
            )


def _locked_params(lock: Flat) -> Iterator[tuple[str, str, Any]]:
    """(stage, param, value) that stages ran with."""
    for key, value in lock.items():
        before, marked, name = key.partition(".params.params.yaml.")
        if marked and before.startswith("stages."):
            yield PurePosixPath(before).name.removeprefix("stages."), name, value
