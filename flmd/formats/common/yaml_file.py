"""Small YAML files that lie in data sets: read without aliases, tags or surprises of size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from flmd.errors import InputError, did_you_mean
from flmd.tree import FileTree

LARGEST = 1 << 18  # bytes: such a file is a page or two, and the parser is slow
MOST_EVENTS, DEEPEST = 25_000, 20


def read_yaml(tree: FileTree, name: str) -> Mapping[str, Any]:
    """The mapping that a YAML file holds.

    Raises
    ------
    InputError : naming file and line, for what is too long, too deep, has an anchor or alias, is not YAML
        or not a mapping.
    """
    where = tree.where(name)
    if tree.size(name) > LARGEST:
        raise InputError(f"{tree.size(name)} bytes", where=where, expected=f"at most {LARGEST} of YAML")
    data = tree.read(name)
    try:
        _check_events(data, where)
        content = YAML(typ="safe").load(data)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        problem = error.problem or error.context or "broken"
        raise InputError(f"not valid YAML: {problem}"[:300], where=f"{where}{line}") from None
    except (YAMLError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"not valid YAML: {error}"[:300], where=where) from None
    except (AttributeError, AssertionError):  # ruamel's own, on bytes that are far from YAML
        raise InputError("not valid YAML", where=where) from None
    if not isinstance(content, Mapping):
        raise InputError("not a mapping", where=where, expected="lines of `key: value`")
    return content


def _check_events(data: bytes, where: str) -> None:
    depth = 0
    for number, event in enumerate(YAML(typ="safe").parse(data)):
        at = f"{where}:{event.start_mark.line + 1}" if event.start_mark else where
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            raise InputError("an anchor or alias (& or *)", where=at, expected="plain values")
        depth += isinstance(event, MappingStartEvent | SequenceStartEvent)
        depth -= isinstance(event, MappingEndEvent | SequenceEndEvent)
        if depth > DEEPEST or number > MOST_EVENTS:
            raise InputError("it is nested too deeply or too long", where=at, expected="a small YAML file")


def validation_error(error: ValidationError, model: type[BaseModel], where: str) -> InputError:
    """The first finding as one line, misspelt keys (with the nearest known one) before the rest."""
    findings = sorted(error.errors(), key=lambda f: f["type"] != "extra_forbidden")
    first = findings[0]
    key = ".".join(str(part) for part in first["loc"] if part not in ("int", "str", "float"))
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, first["loc"][:-1])
        hint = did_you_mean(str(first["loc"][-1]), known) or f"known keys: {', '.join(known)}"
        return InputError(f"unknown key {key[:80]!r}{more}", where=where, hint=hint)
    if first["type"] == "missing":
        return InputError(f"key {key!r} is missing{more}", where=where)
    if first["type"] == "value_error":
        text = f"{key}: {first['ctx']['error']}" if key else str(first["ctx"]["error"])
        return InputError(f"{text[:300]}{more}", where=where)
    expected = first["msg"].replace("Input should be ", "")
    return InputError(f"{key} is {str(first['input'])[:80]!r}{more}", where=where, expected=expected)


def _fields_at(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Names of the keys allowed at a place."""
    for part in location:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        choices = [inner, *getattr(inner, "__args__", ())]
        found = [c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)]
        if not found:
            return []
        model = found[0]
    return list(model.model_fields)
