"""Is it still true? The pipeline run again in a fresh clone, and compared with dvc.lock output by output.

`dvc repro` alone would not do: it takes results from its caches.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from flmd.core import commands, yaml_text
from flmd.core.nested import flattened
from flmd.errors import InputError, ParamsError
from flmd.experiments import dvc_lock, git, machine
from flmd.experiments.dvc_lock import Lock
from flmd.experiments.machine import Machine

DEVICE_STAGE = "train"  # from here on, results depend on the device where training is not deterministic
SMALL: dict[str, Any] = {
    "convert.crop_size": 64,
    "augment.input_size": 32,
    "augment.variants": 2,
    "train.network_options": {"width": 0.125, "middle_blocks": 1},
    "train.epochs": 2,
    "evaluate.gallery": 4,
}
SMALL_SAMPLE = {"sample": 40}
CONFIG = """[core]
    analytics = false
    check_update = false
    autostage = false
[cache]
    dir = {cache}
"""


@dataclass(frozen=True)
class Row:
    """One output: the md5 that was expected, and the one that came out; None where there is none."""

    stage: str
    output: str
    expected: str | None
    got: str | None

    @property
    def equal(self) -> bool:
        """Same bytes."""
        return self.expected is not None and self.expected == self.got


@dataclass(frozen=True)
class Outcome:
    """What a run of the pipeline left: its lock, its numbers, its machine, and whether it ended well.

    Attributes
    ----------
    metrics : path of each metrics.json among the outputs -> dotted name -> number.
    failed : dvc's last word when a stage failed, else "".
    machine : what made it; None where nothing says so.
    """

    lock: Lock
    metrics: dict[str, dict[str, float]]
    failed: str = ""
    machine: Machine | None = None


def committed_outcome(root: Path) -> Outcome:
    """What HEAD says came out: its dvc.lock and its metrics. InputError when HEAD has no dvc.lock."""
    text = git.committed(root, "HEAD", dvc_lock.NAME)
    if text is None:
        raise InputError(
            "HEAD holds no dvc.lock", where=str(root), hint="run `dvc repro` and commit dvc.lock"
        )
    lock = dvc_lock.parse_lock(text, "dvc.lock of HEAD")
    metrics = {}
    for path in _metrics_files(lock):
        numbers = git.committed(root, "HEAD", path)
        if numbers is not None:
            metrics[path] = _numbers(numbers, path)
    return Outcome(lock, metrics, machine=machine.parse(git.committed(root, "HEAD", machine.NAME), lock))


def run_again(
    root: Path,
    *,
    workers: int | None = None,
    sources: Mapping[str, str] | None = None,
    small: bool = False,
    scratch: Path | None = None,
) -> Outcome:
    """Run the whole pipeline in a clone of HEAD, from raw data, without any of DVC's caches.

    Parameters
    ----------
    root : of the DVC project. Files that `dvc add` tracks are copied from its working tree: they are
        inputs, and no stage makes them.
    workers : processes of each stage (FLMD_WORKERS); None leaves it to the stage.
    sources : data set -> folder, archive or address to take its raw data from instead.
    small : few faces, a small network, two epochs.
    scratch : where the clone lies meanwhile; by default where temporary files lie.

    Raises
    ------
    ParamsError : no such data set. FlmdError : git or DVC cannot be run at all.
    """
    with tempfile.TemporaryDirectory(prefix="flmd-verify-", dir=scratch) as name:
        folder = Path(name)
        project = git.clone(root, folder / "clone")
        (project / ".dvc" / "config.local").write_text(
            CONFIG.format(cache=folder / "cache"), encoding="utf-8"
        )
        _bring_inputs(root, project)
        _change_params(project / "params.yaml", sources or {}, small)
        (project / dvc_lock.NAME).unlink(missing_ok=True)
        environment = {"PYTHONPATH": str(project)} | ({"FLMD_WORKERS": str(workers)} if workers else {})
        with (
            dvc_environment(folder / "site", **environment) as given,
            commands.leashed(
                [sys.executable, "-m", "dvc", "repro", "--force", "--no-run-cache", "--no-commit"],
                cwd=project,
                env=given,
                stdout=sys.stderr.fileno() if _has_descriptor(sys.stderr) else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            ) as done,
        ):
            said = _passed_on(done)
        lock = dvc_lock.read_lock(project) if (project / dvc_lock.NAME).exists() else Lock({})
        metrics = {
            path: _numbers((project / path).read_text(encoding="utf-8"), path)
            for path in _metrics_files(lock)
        }
        return Outcome(lock, metrics, said if done.returncode else "", machine.this_machine())


def compare(expected: Lock, got: Lock) -> list[Row]:
    """Every output of either, in the order of the stages expected."""
    rows = []
    for path in dict.fromkeys([*expected.outs, *got.outs]):
        stage = expected.makers.get(path) or got.makers[path]
        rows.append(Row(stage, path, expected.outs.get(path), got.outs.get(path)))
    return rows


def other_inputs(expected: Lock, got: Lock) -> dict[str, list[str]]:
    """Stage -> inputs, code and params that differed when the expected lock was made."""
    found = {}
    for stage in got:
        old = expected.stages.get(stage.name)
        if old is None:
            continue
        before, now = expected.inputs(old), got.inputs(stage)
        names = [path for path in {**before, **now} if before.get(path) != now.get(path)]
        keys = {**old.params, **stage.params}
        absent = object()
        names += [k for k in keys if old.params.get(k, absent) != stage.params.get(k, absent)]
        if names:
            found[stage.name] = names
    return found


def beyond(
    expected: Mapping[str, Mapping[str, float]],
    got: Mapping[str, Mapping[str, float]],
    tolerance: float | Mapping[str, float],
) -> tuple[list[str], str]:
    """Numbers of metrics files that differ by more than ``tolerance``, are missing or are no numbers.

    ``tolerance``: one difference for all, or one for each dotted name; a name without one has to be equal.

    Returns
    -------
    A line for each such number, and one that names the largest difference of all.
    """
    lines: list[str] = []
    largest, where, count = 0.0, "", 0
    for path in {**expected, **got}:
        before, now = expected.get(path, {}), got.get(path, {})
        for name in {**before, **now}:
            if name not in before or name not in now:
                lines.append(f"{path}: {name} is missing {'now' if name in before else 'in the reference'}")
                continue
            count += 1
            difference = abs(before[name] - now[name])
            allowed = tolerance.get(name, 0.0) if isinstance(tolerance, Mapping) else tolerance
            if math.isnan(difference) or difference > allowed:
                lines.append(f"{path}: {name} is {now[name]:g}, expected {before[name]:g} within {allowed:g}")
            if difference > largest:
                largest, where = difference, f" ({name})"
    return lines, f"{count} numbers, largest difference {largest:g}{where}"


@contextmanager
def dvc_environment(site: Path, **more: str) -> Iterator[dict[str, str]]:
    """The environment of a dvc whose state database is an empty one, and whose stages run this Python."""
    given = {k: v for k, v in os.environ.items() if k not in git.GIT_VARIABLES}
    given["PATH"] = str(Path(sys.executable).parent) + os.pathsep + given.get("PATH", os.defpath)
    yield {**given, "DVC_SITE_CACHE_DIR": str(site), "DVC_NO_ANALYTICS": "1", **more}


def _has_descriptor(stream: Any) -> bool:
    try:
        return bool(stream.fileno() >= 0)
    except (AttributeError, OSError, ValueError):
        return False


def _passed_on(process: subprocess.Popen[str]) -> str:
    """Pass a child's stderr on as it comes; the last line that says an error is returned."""
    last = ""
    assert process.stderr is not None
    for line in process.stderr:
        sys.stderr.write(line)
        sys.stderr.flush()
        if line.startswith(("ERROR", "error")):
            last = " ".join(line.split())
    process.wait()
    return last or f"dvc repro ended with exit code {process.returncode}"


def _bring_inputs(root: Path, project: Path) -> None:
    """Copy what `dvc add` tracks into the clone."""
    for file in project.rglob("*.dvc"):
        if not file.is_file():
            continue
        for path in _outs_of(file):
            target = file.parent / path
            source = root / target.relative_to(project)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            elif source.is_file() and not target.exists():
                shutil.copy(source, target)


def _outs_of(file: Path) -> list[str]:
    """What a .dvc file tracks; InputError when it is none."""
    try:
        return [str(out["path"]) for out in (yaml_text.read(file.read_bytes()) or {}).get("outs", [])]
    except yaml_text.YamlTextError as error:
        raise InputError(error.what, where=error.at(str(file))) from None
    except (AttributeError, TypeError, KeyError):
        raise InputError("not a .dvc file", where=str(file), hint="restore it with git") from None


def _change_params(path: Path, sources: Mapping[str, str], small: bool) -> None:
    """Set sources, and with ``small`` what of SMALL a params.yaml has, comments kept."""
    if not (sources or small):
        return
    yaml = YAML()
    try:
        tree = yaml_text.read(path.read_bytes(), yaml)
    except yaml_text.YamlTextError as error:
        raise ParamsError(error.what, where=error.at(str(path))) from None
    datasets = tree.get("datasets") or {}
    for name, source in sources.items():
        if name not in datasets:
            raise ParamsError(f"no data set {name!r}", expected="one of " + ", ".join(datasets))
        datasets[name]["source"] = source
    for dataset in datasets.values() if small else ():
        if dataset.get("source") == "sample" or isinstance(dataset.get("source"), dict):
            dataset["source"] = SMALL_SAMPLE
    for key, value in SMALL.items() if small else ():
        section, *middle, last = key.split(".")
        place = tree.get(section) or {}
        for part in [place] if not middle else place.values():
            if last in part:
                part[last] = value
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)


def _metrics_files(lock: Lock) -> list[str]:
    return [path for path in lock.outs if path.rpartition("/")[2] == "metrics.json"]


def _numbers(text: str, where: str) -> dict[str, float]:
    try:
        return {k: float(v) for k, v in flattened(json.loads(text)).items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InputError("not a JSON tree of numbers", where=where) from None
