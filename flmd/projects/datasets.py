"""Data sets of a project: put into params.yaml and taken out of it, comments and order kept.

Of params.yaml nothing changes but the lines of the data set, and the list ``train.datasets`` where it is one.
No other file names a data set: stages, training and plots take theirs from params.yaml.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from flmd.core import params
from flmd.core.atomic import whole_or_nothing
from flmd.core.dataset_params import EXPECTED_NAME, NAME, DatasetParams
from flmd.errors import ParamsError
from flmd.experiments import dvc_lock, recipes

LISTS = (("train", "datasets"), ("augment", "flip_of"), ("augment", "offset_of"))  # that may name data sets


def check_new(path: Path, name: str) -> params.Params:
    """The settings of a project that a data set is to be added to; ParamsError when its name will not do."""
    settings = params.load(path)
    if not NAME.fullmatch(name):
        raise ParamsError(f"{name!r} is no name of a data set", expected=EXPECTED_NAME)
    if name in settings.datasets:
        hint = f"`flmd dataset remove {name}` first, or choose another name"
        raise ParamsError(f"has a data set {name!r} already", where=str(path), hint=hint)
    return settings


def checked(settings: params.Params, name: str, entry: Mapping[str, Any]) -> DatasetParams:
    """The keys of a new data set as typed params; ParamsError for what is not allowed."""
    datasets = {key: value.model_dump() for key, value in settings.datasets.items()}
    tree = {**settings.model_dump(), "datasets": {**datasets, name: dict(entry)}}
    return params.parse(tree, where="flmd dataset add").datasets[name]


def add(path: Path, name: str, entry: Mapping[str, Any]) -> str:
    """Put a data set at the end of those in a params file.

    Parameters
    ----------
    entry : its keys, of :class:`~flmd.core.dataset_params.DatasetParams`; what is usual may be left out.

    Returns
    -------
    The lines that were put in.

    Raises
    ------
    ParamsError : the file would not be valid; it is left as it is.
    """
    check_new(path, name)
    text, tree = path.read_text(encoding="utf-8"), recipes.read(path)
    trained = tree["train"].get("datasets", params.ALL)
    if trained != params.ALL:
        recipes.merge(tree, {"train": {"datasets": [*trained, name]}})
        text = recipes.dumped(tree)
    lines, datasets = text.splitlines(keepends=True), _datasets(text)
    block = _block(name, entry, _column(datasets))
    lines.insert(_end(text, datasets), block)
    _write(path, "".join(lines), f"with data set {name}")
    return block


def remove(root: Path, name: str) -> list[str]:
    """Take a data set out of a project: out of params.yaml, with what stages made of it alone.

    The files remain in DVC's cache. dvc.lock forgets the two stages that made them.

    Returns
    -------
    The files that were removed, by their paths in the project.

    Raises
    ------
    ParamsError : no such data set, or the last one.
    """
    path = root / "params.yaml"
    settings = params.load(path)
    settings.dataset(name)
    if len(settings.datasets) == 1:
        hint = "add another with `flmd dataset add` first"
        raise ParamsError(f"{name} is the only data set", where=str(path), hint=hint)
    text, tree = path.read_text(encoding="utf-8"), recipes.read(path)
    sections = list(_without(tree, name))
    for section, left in sections:
        recipes.merge(tree, {section: left})
    if sections:
        text = recipes.dumped(tree)
    lines = text.splitlines(keepends=True)
    first, last = _lines_of(text, name)
    del lines[first:last]
    _write(path, "".join(lines), f"without data set {name}")
    return _forget(root, name)


def _without(tree: Mapping[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Sections of params, each with a key that names the data set and its value without that."""
    for section, key in LISTS:
        named = (tree.get(section) or {}).get(key)
        if isinstance(named, list) and name in named:
            yield section, {key: [other for other in named if other != name] or params.ALL}
        elif isinstance(named, Mapping) and name in named:
            yield section, {key: {k: v for k, v in named.items() if k != name}}


def _block(name: str, entry: Mapping[str, Any], column: int) -> str:
    """The lines of a data set, indented."""
    yaml = YAML()
    yaml.width = 1 << 16
    text = io.StringIO()
    flow = {key: recipes.in_flow_style(value) for key, value in entry.items()}
    yaml.dump(CommentedMap({name: CommentedMap(flow)}), text)
    return "".join(" " * column + line for line in text.getvalue().splitlines(keepends=True))


def _datasets(text: str) -> CommentedMap:
    """The data sets of a params file, which know their lines."""
    datasets: CommentedMap = YAML().load(text)["datasets"]
    if datasets.fa.flow_style():
        hint = "write each data set on lines of its own"
        raise ParamsError("the data sets stand on one line", where="params.yaml", hint=hint)
    return datasets


def _column(datasets: CommentedMap) -> int:
    return int(datasets.lc.key(next(iter(datasets)))[1])


def _end(text: str, datasets: CommentedMap) -> int:
    """The number of the line before which a further data set belongs: after the last line of the others."""
    column = _column(datasets)
    start = int(datasets.lc.key(next(reversed(datasets)))[0])
    lines = text.splitlines()
    end = start + 1
    for number in range(start + 1, len(lines)):
        line = lines[number]
        indent = len(line) - len(line.lstrip())
        if not line.strip() or line.lstrip().startswith("#"):
            continue  # belongs to what follows, unless a deeper line does
        if indent <= column:
            break
        end = number + 1
    return end


def _lines_of(text: str, name: str) -> tuple[int, int]:
    """First line of a data set and the line after its last, comments below it left out."""
    datasets = _datasets(text)
    names = list(datasets)
    first = int(datasets.lc.key(name)[0])
    later = names[names.index(name) + 1 :]
    return (first, int(datasets.lc.key(later[0])[0]) if later else _end(text, datasets))


def _write(path: Path, text: str, how: str) -> None:
    """Check a params file's new text, and write it whole or not at all."""
    params.parse(YAML(typ="safe").load(text), where=f"{path} {how}")
    recipes.replace(path, text)


def _forget(root: Path, name: str) -> list[str]:
    """Remove what the stages of one data set made, and their entries in dvc.lock."""
    gone = []
    for made in (f"data/raw/{name}", f"data/stores/{name}.h5", f"reports/data/{name}.json"):
        with suppress(FileNotFoundError):
            (root / made).unlink()
            gone.append(made)
    lock = root / dvc_lock.NAME
    if lock.is_file():
        yaml = YAML()  # its indentation is DVC's
        yaml.width = 1 << 16
        tree = yaml.load(lock)
        stages = (tree or {}).get("stages") or {}
        known = [f"{stage}@{name}" for stage in ("download", "convert") if f"{stage}@{name}" in stages]
        for stage in known:
            del stages[stage]
        if known:
            with whole_or_nothing(lock) as new, new.open("w", encoding="utf-8") as stream:
                yaml.dump(tree, stream)
    return gone
