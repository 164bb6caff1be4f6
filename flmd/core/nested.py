"""Nested mappings under dotted names, as DVC names metrics and params: ``a.b`` is ``b`` in ``a``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flmd.errors import InputError


def flattened(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """Nested mappings, however deep, to dotted names in the same order.

    Lists are values, and so is a mapping without entries.

    Examples
    --------
    >>> flattened({"train": {"lr": 0.1, "datasets": ["a"], "options": {}}, "seed": 7})
    {'train.lr': 0.1, 'train.datasets': ['a'], 'train.options': {}, 'seed': 7}
    """
    flat: dict[str, Any] = {}
    above = [("", iter(tree.items()))]
    while above:
        prefix, entries = above[-1]
        for key, value in entries:
            if isinstance(value, Mapping) and value:
                above.append((f"{prefix}{key}.", iter(value.items())))
                break
            flat[f"{prefix}{key}"] = value
        else:
            above.pop()
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`flattened`.

    Raises
    ------
    InputError : a name stands for a value and for a part at once (a subset called ``nme``).
    """
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *parts, last = name.split(".")
        place: Any = tree
        for part in parts:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                break
        if not isinstance(place, dict) or last in place:
            raise InputError(
                f"metric {name!r} is also the name of a part", hint="rename the data set or subset"
            )
        place[last] = value
    return tree
