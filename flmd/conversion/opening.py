"""Opening a source of faces: a store, a folder, a file, an archive or an address, in any known format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from flmd import formats
from flmd.conversion.face_source import AnnotatedFaces, FaceChanges, StoredFaces
from flmd.core.atomic import Scratch, default_folder
from flmd.core.bounded_search import BoundedSearch
from flmd.errors import InputError, ParamsError
from flmd.formats import Certainty, Detection, Format
from flmd.formats.base import AS_FORMAT
from flmd.formats.choosing import accepts, blamed, detection_of, refusal
from flmd.schemes import SCHEMES, Scheme, get_scheme
from flmd.schemes.mapping import SchemeMapping, mapping
from flmd.schemes.name_choice import AUTO, PointNames
from flmd.store.face_store import FaceStore
from flmd.tree import DEFAULT_LIMITS, FileTree, Limits, is_address, is_remote_file, open_beside, open_tree
from flmd.tree.remote import fetch_to

HDF5 = b"\x89HDF\r\n\x1a\n"


@contextmanager
def open_faces(
    source: Path | str,
    *,
    from_: str | None = None,
    scheme: str | None = None,
    read_as: str | None = None,
    base: float | None = None,
    names: PointNames = AUTO,
    exif: str = AS_FORMAT,
    subject_from: str | None = None,
    partial: bool = False,
    pictures: Path | str | None = None,
    options: Mapping[str, str] | None = None,
    scratch: Path | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[AnnotatedFaces | StoredFaces]:
    """Open a source of faces.

    Parameters
    ----------
    source : a store, folder, file, archive, or fsspec address. A single annotation file is read with
        the folder it lies in, where its pictures are.
    from_ : the format's name; found out by default.
    scheme : of the faces wanted. Where the source does not say its scheme and has as many points, this
        says what they are; else they are mapped.
    read_as : the scheme that the source's points follow, where its files do not tell, or only count them.
    base : what the source counts pixels from, when not what its format says: 0, 0.5 or 1.
    names : what to do with the names that the source gives its points (``flmd.schemes.name_choice``).
    exif : frame of the source's coordinates where a picture has an EXIF orientation: "stored", "shown", or
        "auto", what its format says (``flmd.core.orientation``).
    subject_from : see :class:`~flmd.conversion.face_source.FaceChanges`.
    partial : points without a counterpart in ``scheme`` are not labelled, instead of an error.
    pictures : folder, archive or address of the pictures, when they do not lie with the annotations.
    options : of the format, by name; see :class:`~flmd.formats.base.Format`.
    scratch : folder for what must be unpacked.

    Raises
    ------
    InputError : nothing there, no format or several fit. ParamsError : impossible options.
    """
    pattern = _pattern(subject_from)
    with ExitStack() as stack:
        path = stack.enter_context(_store(source, scratch, limits))
        there = None if pictures is None else open_tree(pictures, limits=limits, scratch=scratch)
        held = None if there is None else stack.enter_context(there)
        if path is not None:
            _only_for_annotations(from_, read_as, base, names, exif, options)
            store = stack.enter_context(FaceStore(path))
            change = _mapping(store.scheme, scheme, partial)
            yield StoredFaces(str(source), store, FaceChanges(change, 0.0, pattern), held)
            return
        tree, only = stack.enter_context(_annotations(source, scratch, limits))
        fmt, detection = choose(tree, from_, only, str(source))
        detection = _telling(detection, passed_over := "" if only is not None else _passed_over(tree))
        fmt = fmt.with_options(options or {}).with_names(names).with_frame(exif)
        own = _scheme_of(fmt, tree, detection, scheme, read_as)
        change = _mapping(own, scheme, partial)
        held = held or _pictures(fmt, tree, stack)
        changes = FaceChanges(change, 0.0 if base is None else fmt.base - base, pattern)
        yield AnnotatedFaces(str(source), tree, held, fmt, detection, own, changes, passed_over)


def _pictures(fmt: Format, tree: FileTree, stack: ExitStack) -> FileTree:
    """Where the pictures are that lie with the annotations; closed with the ``stack``."""
    with blamed(fmt, "it looks for pictures"):
        held = fmt.pictures(tree)
    return held if held is tree else stack.enter_context(held)


@contextmanager
def _store(source: Path | str, scratch: Path | None, limits: Limits) -> Iterator[Path | None]:
    """The path of a store, fetched when it lies behind an address; None for any other source."""
    if not is_address(source):
        yield Path(source) if is_store(source) else None
        return
    with Scratch(scratch or default_folder(), "flmd-fetched") as here:
        copy = here.folder / "fetched.h5"
        yield copy if fetch_to(str(source), copy, HDF5, limits) else None


def is_store(source: Path | str) -> bool:
    """Whether a source is an HDF5 file that says it is a face store, or is named like one."""
    if is_address(source):
        return False
    path = Path(source)
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        if stream.read(len(HDF5)) != HDF5:
            return path.suffix == ".h5"
    return True


def choose(tree: FileTree, from_: str | None, only: str | None, source: str) -> tuple[Format, Detection]:
    """The format of a tree, or of one annotation file in it, whatever else lies beside that.

    ``source`` is what the user named.
    """
    if only is None:
        return formats.choose(tree, from_)
    if from_ is not None:
        fmt = formats.get(from_)
        if not accepts(fmt, tree, only):
            why = detection_of(fmt, tree.only([only])).why
            raise InputError(f"not {from_}: {why}", where=tree.where(only), expected=fmt.detected_by or None)
        return fmt, Detection((only,), "named on the command line")
    fitting = accepting(tree, only)
    if len(fitting) == 1:
        return formats.get(next(iter(fitting))), Detection((only,), "named on the command line")
    if fitting:
        listed = ", ".join(fitting)
        raise InputError(f"several formats fit: {listed}", where=tree.where(only), hint="choose with --from")
    alone = tree.only([only])
    raise refusal(alone, formats.detect(alone), tree.where(only), source)


def accepting(tree: FileTree, only: str) -> dict[str, Certainty]:
    """The formats that read one file of a tree, those that are surest of it.

    They look at it and at what is named like it or describes data; at all that lies beside it where that
    tells nothing.
    """
    stem = only.partition(".")[0]
    beside = [name for name in tree.names if name.startswith(stem) or name.endswith((".yaml", ".yml"))]
    return _accepting(tree.only({only, *beside}), only) or _accepting(tree, only)


def _accepting(tree: FileTree, only: str) -> dict[str, Certainty]:
    found: dict[str, Certainty] = {}
    for name in formats.names():
        fmt = formats.get(name)
        if accepts(fmt, tree, only):
            found[name] = detection_of(fmt, tree).certainty
    surest = max(found.values(), default=None)
    return {name: c for name, c in found.items() if c == surest}


@contextmanager
def _annotations(
    source: Path | str, scratch: Path | None, limits: Limits
) -> Iterator[tuple[FileTree, str | None]]:
    """The tree of a source, and the file in it that was named when it is one annotation file."""
    if is_address(source):
        address = str(source)
        with open_tree(source, limits=limits, scratch=scratch) as tree:
            if len(tree.names) != 1 or not is_remote_file(address):
                yield tree, None
                return
            only = tree.names[0]
            if address.startswith(("http://", "https://")) or tree.kind != "folder":
                yield tree, only  # nothing beside a file can be listed
                return
        with open_beside(address, limits=limits) as tree:
            yield tree, only
        return
    path = Path(source)
    with open_tree(path, limits=limits, scratch=scratch) as tree:
        if tree.kind != "file":
            yield tree, None
            return
    with open_beside(path, limits=limits) as tree:
        yield tree, path.name


def _passed_over(tree: FileTree) -> str:
    """The links of a folder that were not followed, in words; "" where there is none."""
    if not tree.passed_over:
        return ""
    first = min(tree.passed_over)
    links = f"{len(tree.passed_over)} symbolic link{'s' if len(tree.passed_over) > 1 else ''}"
    return f"{links} (the first: {tree.where(first)}: {tree.passed_over[first].what})"


def _telling(detection: Detection, passed_over: str) -> Detection:
    """The detection, whose reason also tells what was passed over."""
    return (
        replace(detection, why=f"{detection.why}; passed over: {passed_over}") if passed_over else detection
    )


def _scheme_of(
    fmt: Format, tree: FileTree, detection: Detection, wanted: str | None, read_as: str | None
) -> Scheme:
    """The scheme that points are read as: the one that is said, or the wanted one where the source has its
    points, or as many."""
    with blamed(fmt, "it tells the scheme"):
        found = get_scheme(fmt.scheme or fmt.scheme_in(tree, detection.files))
    if read_as is not None:
        return _said(fmt, tree, found, get_scheme(read_as))
    if wanted is None or fmt.scheme is not None:
        return found
    scheme = get_scheme(wanted)
    return scheme if scheme.count == found.count or fmt.names.maps_to(scheme) else found


def _said(fmt: Format, tree: FileTree, found: Scheme, said: Scheme) -> Scheme:
    """The scheme that the user says; ParamsError where the files tell of another."""
    if fmt.scheme is not None and said.name != fmt.scheme:
        raise ParamsError(f"scheme {said.name}, but {fmt.name} holds {fmt.scheme}", where=tree.origin)
    if said.count != found.count and not fmt.names.maps_to(said):
        what = f"scheme {said.name} has {said.count} points, the first face has {found.count}"
        same = [name for name, scheme in SCHEMES.items() if scheme.count == found.count]
        raise ParamsError(what, where=tree.origin, expected=" or ".join(same) or None)
    return said


def _mapping(source: Scheme, scheme: str | None, partial: bool) -> SchemeMapping | None:
    if scheme is None or scheme == source.name:
        return None
    return mapping(source, get_scheme(scheme), partial=partial)


def _word(names: PointNames) -> str | None:
    return None if names == AUTO else names.word


def _pattern(text: str | None) -> BoundedSearch | None:
    if text is None:
        return None
    try:
        return BoundedSearch(text)
    except ValueError as error:
        raise ParamsError(f"--subject-from {text!r} is no expression: {error}") from None


def _only_for_annotations(
    from_: str | None,
    read_as: str | None,
    base: float | None,
    names: PointNames,
    exif: str,
    options: Mapping[str, str] | None,
) -> None:
    """ParamsError for what a store cannot be asked."""
    asked = {
        "--from": from_,
        "scheme": read_as,
        "--base": base,
        "--names": _word(names),
        "--exif": None if exif == AS_FORMAT else exif,
        "--option": " ".join(options or ()) or None,
    }
    for option, value in asked.items():
        if value is not None:
            raise ParamsError(f"{option} {value} is for annotation files", expected="nothing for a store")
