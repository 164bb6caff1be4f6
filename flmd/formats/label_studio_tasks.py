"""Tasks of a Label Studio export, and the labels of their points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from flmd.errors import InputError
from flmd.formats.common.json_stream import JsonStream
from flmd.tree import FileTree

_MOST_SCANNED = 100
MOST_HELD = 8 << 20  # bytes of a file whose first tasks are held while their labels are gathered


class Tasks:
    """The tasks of a file with their lines; the first 100, or all before a fault, are held for their labels.

    A longer file is read twice instead, which costs it little.
    """

    def __init__(self, document: JsonStream) -> None:
        self._document, self._items = document, document.items()
        self._held: list[tuple[int, Any]] = []
        self._error: InputError | None = None

    def first_labels(self) -> dict[str, None]:
        """Labels of the points of the first 100 tasks, which are held, in the order they come in."""
        try:
            for task in islice(self._items, _MOST_SCANNED):
                self._held.append((self._document.line, task))
        except InputError as error:
            self._error = error
        return labels_in(task for _, task in self._held)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        while self._held:
            yield self._held.pop(0)
        if self._error is not None:
            raise self._error
        for task in self._items:
            yield self._document.line, task


def first_labels(tree: FileTree, name: str) -> dict[str, None]:
    """Labels of the points of the first 100 tasks, as far as they can be read, in the order they come in."""
    labels: dict[str, None] = {}
    try:
        with tree.open(name) as stream:
            document = JsonStream(stream, tree.where(name))
            if document.kind == "array":
                for task in islice(document.items(), _MOST_SCANNED):
                    labels |= labels_in([task])
    except InputError:
        pass
    return labels


def labels_in(tasks: Iterable[Any]) -> dict[str, None]:
    """Labels of the points of tasks, in the order they come in."""
    labels: dict[str, None] = {}
    for task in tasks:
        for annotation in annotations_of(task):
            for region in regions_of(annotation, "keypointlabels")["keypointlabels"]:
                label = label_of(region)
                if label:
                    labels[label] = None
    return labels


def annotations_of(task: Any) -> list[dict[str, Any]]:
    """The annotations of a task (``completions`` in old exports); none where they are something else."""
    given = task.get("annotations", task.get("completions")) if isinstance(task, dict) else None
    return [a for a in given if isinstance(a, dict)] if isinstance(given, list) else []


def regions_of(annotation: dict[str, Any], *kinds: str) -> dict[str, list[dict[str, Any]]]:
    """The regions of each of some types that have a value."""
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    result = annotation.get("result")
    for region in result if isinstance(result, list) else ():
        if isinstance(region, dict) and isinstance(region.get("value"), dict):
            kind = region.get("type")
            if isinstance(kind, str) and kind in found:
                found[kind].append(region)
    return found


def label_of(region: dict[str, Any]) -> str | None:
    """The label of a point, None unless it has exactly one."""
    labels = region["value"].get("keypointlabels")
    one = isinstance(labels, list) and len(labels) == 1 and isinstance(labels[0], str)
    return labels[0] if one else None
