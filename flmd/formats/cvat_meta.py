"""What CVAT's XML says before the pictures: its tasks, subsets and labels."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import BinaryIO

from flmd.schemes import Scheme

BOX_LABEL = "face box"
NO_SUBSET = "\0"  # which XML cannot hold
HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
_DEFAULT = "default"
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)


def copy_body(body: BinaryIO, file: BinaryIO, subsets: Collection[str]) -> None:
    """Append a body, in which NO_SUBSET stands where a picture or a track says none.

    It becomes "default", CVAT's word for that, where others have a subset.
    """
    body.seek(0)
    said = f' subset="{_DEFAULT}"'.encode() if any(subsets) else b""
    while piece := body.read(1 << 20):
        file.write(piece.replace(NO_SUBSET.encode(), said))


def meta_of(tasks: Mapping[str, str], labels: str) -> str:
    """``<meta>``: of a task, or of a project with a task for each subset, as CVAT exports them.

    ``tasks``: subset -> what its task says; "" is no subset.
    """
    inside = f"<labels>\n{labels}</labels>"
    if not any(tasks):
        facts = next(iter(tasks.values()), "")
        return f"  <meta><task><name>flmd</name>{facts}\n{inside}</task></meta>\n"
    named = {escaped(subset) or _DEFAULT: facts for subset, facts in tasks.items()}
    each = "".join(
        f"<task><name>{name}</name>{facts}<subset>{name}</subset></task>\n" for name, facts in named.items()
    )
    listed = "\n".join(named)
    return (
        f"  <meta><project><name>flmd</name><tasks>\n{each}</tasks>\n{inside}"
        f"<subsets>{listed}</subsets></project></meta>\n"
    )


def declared_labels(labels: Iterable[str], scheme: Scheme, attributes: str) -> str:
    """The labels of faces, of their points and of boxes, as ``<meta>`` declares them.

    ``attributes``: the declarations of what faces say.
    """
    svg = escaped(drawing(scheme))
    lines = []
    for label in list(labels) or ["face"]:
        name = escaped(label)
        lines.append(
            f"<label><name>{name}</name><type>skeleton</type><attributes>{attributes}</attributes>"
            f"<svg>{svg}</svg></label>\n"
        )
        lines += [
            f"<label><name>{escaped(point)}</name><type>points</type><attributes></attributes>"
            f"<parent>{name}</parent></label>\n"
            for point in scheme.points
        ]
    box = f"<label><name>{BOX_LABEL}</name><type>rectangle</type><attributes></attributes></label>\n"
    return "".join([*lines, box])


def drawing(scheme: Scheme) -> str:
    """The points on a circle, with the scheme's lines: CVAT wants a place for each, not a meaning."""

    def places() -> Iterator[tuple[float, float]]:
        for i in range(scheme.count):
            turn = 2 * math.pi * i / scheme.count
            yield round(50 + 45 * math.cos(turn), 3), round(50 + 45 * math.sin(turn), 3)

    at = list(places())
    lines = "".join(
        f'<line x1="{at[a][0]}" y1="{at[a][1]}" x2="{at[b][0]}" y2="{at[b][1]}" data-type="edge"'
        f' data-node-from="{a + 1}" data-node-to="{b + 1}"></line>'
        for a, b in scheme.skeleton
    )
    circles = "".join(
        f'<circle r="0.75" cx="{x}" cy="{y}" data-type="element node" data-element-id="{i + 1}"'
        f' data-node-id="{i + 1}" data-label-name="{escaped(name)}"></circle>'
        for i, ((x, y), name) in enumerate(zip(at, scheme.points, strict=True))
    )
    return lines + circles


def escaped(text: str) -> str:
    """A text as it stands in XML, in quotes too."""
    return text.translate(_ESCAPES)
