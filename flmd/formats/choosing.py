"""Asking formats, some of them other people's: which fits, which nearly does, whose fault a failure is."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flmd.errors import FlmdError, FormatError, InputError, one_line
from flmd.formats.base import Certainty, Detection, Format
from flmd.tree import FileTree
from flmd.tree.names import shown

NEAREST = 2  # formats that a refusal names at most
_MOST_NAMES = 1000


def detection_of(fmt: Format, tree: FileTree) -> Detection:
    """What a format says of a tree; where its own code fails, that is why it does not fit."""
    try:
        return fmt.detect(tree)
    except FlmdError as error:
        return Detection((), str(error))
    except Exception as error:
        why = f"{_whose(fmt)} fails while it looks at this: {_text(error)}"
        return Detection((), why, Certainty.POSSIBLE)


def accepts(fmt: Format, tree: FileTree, name: str) -> bool:
    """Whether a format reads one file; False where its own code fails."""
    try:
        return fmt.accepts(tree, name)
    except Exception:
        return False


@contextmanager
def blamed(fmt: Format, doing: str) -> Iterator[None]:
    """Name a plugin whose own code fails: FormatError instead of an exception that tells of nobody."""
    try:
        yield
    except (FlmdError, OSError):
        raise
    except Exception as error:
        if not is_plugin(fmt):
            raise
        hint = "a fault of that plugin, not of the data; run with --debug for the trace"
        raise FormatError(f"{_whose(fmt)} fails while {doing}: {_text(error)}", hint=hint) from error


def is_plugin(fmt: Format) -> bool:
    """Whether a format comes from another package."""
    return not type(fmt).__module__.startswith("flmd.")


def nearest(tree: FileTree, found: Mapping[str, Detection]) -> list[str]:
    """Names of the formats that looked into a file and say what it lacks; of two at most.

    Such a reason names the file: "(labels.json: its results have no keypointlabels)". A format that says what
    would make it fit comes first.
    """
    bases = {shown(posixpath.basename(name)) for name in tree.names[:_MOST_NAMES]}
    missed = {name: detection.why for name, detection in found.items() if not detection.fits}
    near = [name for name, why in missed.items() if any(base in why for base in bases)]
    return sorted(near, key=lambda name: not found[name].nearly)[:NEAREST]


def refusal(tree: FileTree, found: Mapping[str, Detection], where: str, source: str) -> InputError:
    """The error when no format fits, naming the nearest. ``source`` : what the user named."""
    near = "; ".join(f"{name}: {found[name].why}" for name in nearest(tree, found))
    hint = f"flmd-data detect --all {shown(source)} says it of all {len(found)} formats"
    what = "no known format fits" + (f"; nearest: {near}" if near else "")
    return InputError(what, where=where, hint=hint)


def _whose(fmt: Format) -> str:
    return f"format {fmt.name!r} of {type(fmt).__module__}"


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"
