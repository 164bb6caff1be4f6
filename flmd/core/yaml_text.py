"""YAML in the files of a project: bounded in depth, length and aliases before anything is built of it.

A parser that follows ten aliases to ten aliases to ten aliases builds what no memory holds, and one that
nests 5,000 deep ends Python's stack.
"""

from __future__ import annotations

import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

DEEPEST = 100
"""Levels of nesting."""
MOST_ALIASES = 100
_DEEPEST_FLOW = 500  # brackets; the parser takes seconds over thousands
MOST_BUILT = 200_000
"""Nodes that a file may stand for, those that aliases repeat counted each time."""
# What ruamel raises on bytes that are far from YAML, beside its own errors.
_UNREADABLE = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, AssertionError)

_LINE, _BRACKETS = re.compile(rb"[^\r\n]+"), re.compile(rb"[\[\]{}]")


class YamlTextError(ValueError):
    """Not YAML, or more of it than a person writes.

    Attributes
    ----------
    what : one line. line : counted from 1; 0 where it is not known.
    """

    def __init__(self, what: str, line: int = 0) -> None:
        self.what, self.line = " ".join(what.split())[:300], line
        super().__init__(self.what)

    def at(self, where: str) -> str:
        """``where``, with the line where that is known."""
        return f"{where}:{self.line}" if self.line else where


def read(text: bytes | str, yaml: YAML | None = None) -> Any:
    """The tree that a YAML text stands for.

    Parameters
    ----------
    yaml : what builds it; None: plain Python values.

    Raises
    ------
    YamlTextError : it is not YAML, nested deeper than :data:`DEEPEST`, or has too many or recursive aliases.
    """
    try:
        if not _is_plain(text if isinstance(text, bytes) else text.encode(errors="surrogatepass")):
            _check(text)
        return (yaml or YAML(typ="safe")).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise YamlTextError(f"not valid YAML: {error.problem or error.context or 'broken'}", line) from None
    except YamlTextError:
        raise
    except (YAMLError, RecursionError, *_UNREADABLE) as error:
        raise YamlTextError(f"not valid YAML: {str(error) or type(error).__name__}") from None


def _is_plain(text: bytes) -> bool:
    """Whether a look at the bytes shows that there are no aliases and few levels: the parser is slow.

    An upper bound: brackets and dashes of quoted texts and comments count too. YamlTextError where no
    parser should be let at it.
    """
    flow = deepest_flow = 0
    deepest_block = 0
    for line in _LINE.findall(text):
        start = len(line) - len(line.lstrip(b" -?:"))
        if start == 0 and line[:1].isalpha():
            flow = 0  # a key of the top level
        deepest_block = max(deepest_block, start)
        for bracket in _BRACKETS.findall(line):
            flow = max(0, flow + (1 if bracket in b"[{" else -1))
            deepest_flow = max(deepest_flow, flow)
    if deepest_flow > _DEEPEST_FLOW:
        raise YamlTextError(f"nested deeper than {DEEPEST} levels")
    aliases = b"&" in text and b"*" in text
    return not aliases and deepest_flow + deepest_block <= DEEPEST and b"\0" not in text


def _check(text: bytes | str) -> None:
    """Count on the stream of events, which holds one event at a time.

    A node's size is 1 and that of what is in it; an alias has the size of what it names.
    """
    aliases, open_nodes = 0, [0]
    sizes: dict[str | None, int] = {}
    anchors: list[str | None] = [None]
    for event in YAML(typ="safe").parse(text):
        line = event.start_mark.line + 1 if event.start_mark else 0
        anchor = getattr(event, "anchor", None)
        if isinstance(event, CollectionEndEvent):
            size, named = open_nodes.pop() + 1, anchors.pop()
        elif isinstance(event, CollectionStartEvent):
            open_nodes.append(0)
            anchors.append(anchor)
            if len(open_nodes) > DEEPEST + 1:
                raise YamlTextError(f"nested deeper than {DEEPEST} levels", line)
            continue
        elif isinstance(event, AliasEvent):
            aliases += 1
            if aliases > MOST_ALIASES:
                raise YamlTextError(f"more than {MOST_ALIASES} aliases", line)
            if anchor in anchors and anchor not in sizes:
                raise YamlTextError(f"alias {anchor!r} names what it stands in", line)
            size, named = sizes.get(anchor, 1), None
        else:
            size, named = 1, anchor
        open_nodes[-1] += size
        if named is not None:
            sizes[named] = size
        if aliases and open_nodes[-1] > MOST_BUILT:
            raise YamlTextError(f"stands for more than {MOST_BUILT:,} values, by its aliases", line)
