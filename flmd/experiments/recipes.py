"""Recipes: named settings of a whole system, merged into params.yaml.

A recipe is a partial params.yaml with an ``about`` text. All recipes set the same keys, so that what was
applied before cannot show in a result. Values are replaced whole: options and lists are never mixed.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken

from flmd.core import params, yaml_text
from flmd.core.atomic import whole_or_nothing
from flmd.errors import FlmdError, ParamsError
from flmd.models.options import unknown

ABOUT = "about"
Key = tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """``settings`` is nested as params.yaml is, values as the file writes them; ``text`` is the file."""

    name: str
    about: str
    settings: Mapping[str, Any]
    text: str


@dataclass(frozen=True)
class Change:
    """A key of params.yaml, with dots, and its values; ``old`` is None where it was not set."""

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        old = "(not set)" if self.old is None else _one_line(self.old)
        return f"{self.key}: {old} -> {_one_line(self.new)}"


def folder() -> Path:
    """Where recipes are: ``recipes`` in the current folder, else those that came with flmd."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (Path("recipes"), package / "recipes_data", package.parent / "recipes"):
        if candidate.is_dir():
            return candidate
    raise ParamsError("no folder of recipes", where="recipes", hint="name one with --recipes")


def names(where: Path) -> list[str]:
    """The recipes in a folder, sorted."""
    return sorted(path.stem for path in where.glob("*.yaml"))


def load(name: str, where: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    ParamsError : no recipe of that name (names the nearest), or a file that is not a recipe.
    """
    known = names(where)
    if name not in known:
        raise unknown("recipe", name, known)
    path = where / f"{name}.yaml"
    text, tree = _read(path)
    about = tree.pop(ABOUT, None)
    if not isinstance(about, str) or not about.strip():
        raise ParamsError(f"no {ABOUT!r} text", where=str(path), hint=f"say in {ABOUT!r} what the recipe is")
    return Recipe(name, about.strip(), tree, text)


def keys(settings: Mapping[str, Any]) -> list[Key]:
    """Every key that a recipe sets: ("train", "lr"), ("datasets", "ibug300w", "split") ..."""
    return [key for key, _ in _leaves(settings)]


def apply(recipe: Recipe, path: Path) -> list[Change]:
    """Merge a recipe into a params file, comments and order kept; nothing is written when nothing changes.

    Returns
    -------
    The keys whose values changed.

    Raises
    ------
    ParamsError : the file cannot be read, or would not be valid with the recipe; it is left as it is.
    """
    tree = read(path)
    changes = merge(tree, fitting(recipe, tree).settings)
    text = dumped(tree)
    params.parse(YAML(typ="safe").load(text), where=f"{path} with recipe {recipe.name}")
    if changes:
        replace(path, text)
    return changes


def fitting(recipe: Recipe, tree: Mapping[str, Any]) -> Recipe:
    """A recipe without what it says of data sets that a tree of params does not have.

    Where it trains on none of those that are there, it says nothing of ``train.datasets``.
    """
    there = set(tree.get("datasets") or {})
    new = {name for name, entry in _mapping(recipe.settings, "datasets").items() if "source" in (entry or {})}
    known = there | new
    settings = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in recipe.settings.items()
    }
    if "datasets" in settings:
        settings["datasets"] = {k: v for k, v in _mapping(settings, "datasets").items() if k in known}
    for key in ("flip_of", "offset_of"):
        if isinstance(named := _mapping(settings, "augment").get(key), Mapping):
            settings["augment"][key] = {k: v for k, v in named.items() if k in known}
    if isinstance(trained := _mapping(settings, "train").get("datasets"), list):
        settings["train"]["datasets"] = [name for name in trained if name in known]
        if not settings["train"]["datasets"]:
            del settings["train"]["datasets"]
    return replace_fields(recipe, settings=settings)


def left_out(recipe: Recipe, tree: Mapping[str, Any]) -> list[str]:
    """The data sets of a recipe that :func:`fitting` leaves out."""
    kept = _mapping(fitting(recipe, tree).settings, "datasets")
    return [name for name in _mapping(recipe.settings, "datasets") if name not in kept]


def _mapping(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = tree.get(key)
    return found if isinstance(found, Mapping) else {}


def merge(tree: CommentedMap, settings: Mapping[str, Any]) -> list[Change]:
    """Put a recipe's values into a tree of params, in place, and say what changed."""
    changes = []
    for key, value in _leaves(settings):
        place = tree
        for part in key[:-1]:
            if not isinstance(place.get(part), CommentedMap):
                place[part] = CommentedMap()
            place = place[part]
        old = place.get(key[-1])
        # 1 and 1.0, true and 1 are equal in Python; in a params file they are not the same.
        if key[-1] in place and _plain(old) == _plain(value) and _one_line(old) == _one_line(value):
            continue
        changes.append(Change(".".join(key), _plain(old), _plain(value)))
        _set(place, key[-1], value)
    return changes


def queue(recipes: Sequence[Recipe], path: Path) -> Iterator[Recipe]:
    """Queue each recipe as a DVC experiment of its name; the params file is put back afterwards.

    Yields each recipe once it is queued. FlmdError when DVC refuses.
    """
    before = path.read_text(encoding="utf-8")
    try:
        for recipe in recipes:
            replace(path, before)
            apply(recipe, path)
            command = ["dvc", "exp", "run", "--quiet", "--queue", "--name", recipe.name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
                raise FlmdError(f"DVC did not queue recipe {recipe.name}: {reason[-1]}")
            yield recipe
    except FileNotFoundError:
        raise FlmdError("there is no dvc command", hint="activate the environment that flmd is in") from None
    finally:
        replace(path, before)


def _leaves(settings: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Keys and values; mappings below a section, such as network_options, are values."""
    for name, value in settings.items():
        key = (*above, str(name))
        depth = 2 if key[0] == "datasets" else 1
        if isinstance(value, Mapping) and len(key) <= depth:
            yield from _leaves(value, key)
        else:
            yield key, value


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1 << 16
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def read(path: Path) -> CommentedMap:
    """The tree of a YAML file, which remembers comments and order; ParamsError when it is not a mapping."""
    return _read(path)[1]


def dumped(tree: CommentedMap) -> str:
    """A tree of :func:`read` as text."""
    text = io.StringIO()
    _yaml().dump(tree, text)
    return text.getvalue()


def _read(path: Path) -> tuple[str, CommentedMap]:
    """The text of a YAML file and its mapping."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml_text.read(text, _yaml())
    except FileNotFoundError:
        raise ParamsError("no such file", where=str(path), hint="run from the project's folder") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"not UTF-8 text: {error.reason}", where=str(path)) from None
    except yaml_text.YamlTextError as error:
        raise ParamsError(error.what, where=error.at(str(path))) from None
    if not isinstance(tree, CommentedMap):
        raise ParamsError("not a mapping of sections", where=str(path))
    return text, tree


def _set(place: CommentedMap, key: str, value: Any) -> None:
    """Replace a value; the comment beside the key and the lines below the value stay.

    Of a block list or mapping both hang on the value, so they are moved to the key.
    """
    old = place.get(key)
    place[key] = in_flow_style(value)
    if not isinstance(old, CommentedMap | CommentedSeq) or old.fa.flow_style():
        return
    comment = old.ca.comment[0] if old.ca.comment else None
    text = (comment.value.rstrip("\n") if comment else "") + "\n" + _below(old)
    column = comment.start_mark.column if comment else 0
    around = place.ca.items.setdefault(key, [None] * 4)  # before the key, ..., behind it, below it
    around[2], around[3] = CommentToken(text, CommentMark(column), None), None


def _below(value: Any) -> str:
    """Empty lines and comments below the last line of a block list or mapping."""
    if not isinstance(value, CommentedMap | CommentedSeq) or not value:
        return ""
    last = next(reversed(value)) if isinstance(value, CommentedMap) else len(value) - 1
    beside = [token for token in value.ca.items.get(last, []) if isinstance(token, CommentToken)]
    # What stands on the last line itself belonged to the old value; the lines after it do not.
    text = "".join(token.value.partition("\n")[2] for token in beside)
    text += "".join(" " * token.start_mark.column + token.value for token in value.ca.end or [])
    return text + _below(value[last])


def in_flow_style(value: Any) -> Any:
    """A copy without comments; containers on one line."""
    if isinstance(value, Mapping):
        mapping = CommentedMap({k: in_flow_style(v) for k, v in value.items()})
        mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list):
        sequence = CommentedSeq([in_flow_style(v) for v in value])
        sequence.fa.set_flow_style()
        return sequence
    return value


def _plain(value: Any) -> Any:
    """Plain Python values of a tree that remembers how it was written."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _one_line(value: Any) -> str:
    """A value as YAML would have it on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_one_line(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_one_line, value)) + "]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return repr(float(value)) if isinstance(value, float) else str(value)


def replace(path: Path, text: str) -> None:
    """Write a text file whole or not at all; its mode stays."""
    path = path.resolve()
    with whole_or_nothing(path) as new:
        new.write_text(text, encoding="utf-8", newline="")
        new.chmod(path.stat().st_mode & 0o777)
