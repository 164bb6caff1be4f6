"""WebDataset: tar shards with a picture and a JSON file for each face."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flmd.errors import InputError
from flmd.face import Face, SkipFace, Skipped
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.common.face_record import face_of, scheme_of_record
from flmd.formats.common.inner_pictures import InnerPictures
from flmd.formats.common.json_file import json_in
from flmd.formats.common.json_lists import HEAD
from flmd.formats.common.json_stream import outline
from flmd.formats.layout import is_picture, resolve, split_of, split_of_path
from flmd.formats.webdataset_writer import write
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.tar import members_in

LARGEST_JSON = 1 << 20  # bytes; a face of 478 points has 15,000
_LOOKED_AT = 16
_MOST_SHARDS = 4  # that a detection opens


class WebDataset(Format):
    """``train-000000.tar``: ``KEY.jpg`` and ``KEY.json`` for each face, as WebDataset's loaders take them.

    The JSON has ``landmarks`` (a list of ``[x, y]``, null where a point is not labelled), ``visibility`` (0
    not labelled, 1 hidden, 2 visible), ``box`` ([x, y, width, height] or null), ``box_source``, ``image``,
    ``width``, ``height``, ``subject``, ``split``, ``subset``, ``dataset``, ``scheme`` and ``attributes``.
    Pixels of the picture beside it; base 0.

    Reading
    -------
    Shards in a folder or an archive, or one that is opened itself; or such files that were unpacked. Only
    ``landmarks`` has to be there: without ``visibility`` every point is visible, and the split is that of the
    shard's name. Any picture's ending will do for .jpg. A picture is named by its key; the face in a picture
    that an earlier face has already (``image`` says so) shares it. A key may occur in two shards: the later
    one's picture has the shard's name before its own. Memory holds the names in the shards.

    Skipped reasons: ``wrong_point_count``, ``not_a_number``, ``bad_visibility``, ``bad_box``, ``bad_json``,
    ``bad_structure`` (no object, a key twice), ``unreadable_file`` (also JSON above 1 MiB). InputError: a
    shard that is damaged, or holds links, names outside of it or one name twice.

    Writing
    -------
    A folder with ``<split>-000000.tar``, …: a new shard after 10,000 faces or 256 MiB. Pictures are copied
    byte by byte, once for each face in them. A key is the picture's name without its ending, ``_face2`` for
    the second face in it; dots become ``_``, as a key ends at the first. Lost, by key of
    ``WriteReport.lost``: ``picture`` (there is none), ``box`` (not finite or not positive), ``attributes``
    (not finite), ``image name``. Not written at all: ``face with unwritable image name``.
    """

    name = "webdataset"
    title = "WebDataset shards (a tar with a .jpg and a .json for each face)"
    detected_by = '*.tar with KEY.json, an object with a list "landmarks"; or such files themselves'
    boxes = True
    visibility = True
    needs = frozenset({"pixels"})

    def detect(self, tree: FileTree) -> Detection:
        """Shards, the first JSON of one of the first four being a face's; else ``*.json`` with pictures."""
        shards = tuple(name for name in tree.names if name.lower().endswith(".tar"))
        if any(_is_shard(tree, name) for name in shards[:_MOST_SHARDS]):
            return Detection(shards, f"{len(shards)} shards")
        loose = [name for name in tree.names if name.lower().endswith(".json")]
        step = -(-len(loose) // _LOOKED_AT) or 1
        if any(_is_record(_head(tree, name)) for name in loose[::step]):
            return Detection(tuple(loose), f"{len(loose)} samples", Certainty.LIKELY)
        return Detection((), f"no {self.detected_by}")

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether it is a shard, or the JSON of a face."""
        if name.lower().endswith(".tar"):
            return _is_shard(tree, name)
        return name.lower().endswith(".json") and _is_record(_head(tree, name))

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The scheme that the first face names, else the one meant by its number of points."""
        for sample in _samples(tree, files):
            try:
                found = scheme_of_record(sample.record())
            except SkipFace:
                continue
            if found:
                return found
        where = tree.where(files[0]) if files else tree.origin
        raise InputError("no face with landmarks", where=where, hint="name the scheme with --scheme")

    def pictures(self, tree: FileTree) -> FileTree:
        """The pictures in the shards; their headers are read once to find them."""
        files = self.detect(tree).files
        if not _in_shards(files):
            return tree
        index: dict[str, tuple[str, int, int]] = {}
        for shard, members in _shards(tree, files):
            index |= {named: (shard, *place) for named, place in members.values() if is_picture(named)}
        return _ShardPictures(tree, index)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the face of each JSON file, in the order of the shards."""
        for sample in _samples(tree, files):
            try:
                yield face_of(sample.record(), scheme.count, sample.image(), sample.split, sample.where)
            except SkipFace as fault:
                yield fault.at(sample.where)

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of shards; see the class for what is lost."""
        return write(faces, target, scheme, pictures)


class _ShardPictures(InnerPictures):
    """The pictures in the shards of a tree; the place of one is (shard, offset, bytes)."""

    def encode(self, place: tuple[str, int, int]) -> bytes:
        shard, offset, size = place
        return self._tree.read(shard, offset, size)


@dataclass
class _Sample:
    """The JSON of a face, and what its place says.

    ``file``, ``start`` and ``size``: where the JSON lies in the tree. ``own``: the picture of that key, or
    the name it would have. ``known``: names of pictures that may be meant.
    """

    tree: FileTree
    where: str
    file: str
    start: int
    size: int
    own: str
    has_picture: bool
    known: Mapping[str, Any] | FileTree
    split: str
    _record: dict[str, Any] | None = None

    def record(self) -> dict[str, Any]:
        """What the JSON holds; SkipFace when it is no object."""
        if self._record is None:
            if self.size > LARGEST_JSON:
                raise SkipFace(
                    "unreadable_file", f"JSON of {self.size} bytes, expected {LARGEST_JSON} or less"
                )
            try:
                content = json_in(self.tree.read(self.file, self.start, self.size))
            except InputError as error:
                raise SkipFace("unreadable_file", error.what) from None
            if not isinstance(content, dict):
                raise SkipFace("bad_structure", f"{type(content).__name__}, expected an object")
            self._record = content
        return self._record

    def image(self) -> str:
        """The picture's name: the one said, if there is such a picture or none of the key's own."""
        said = self.record().get("image")
        named = resolve("", said) if isinstance(said, str) else None
        return named if named is not None and (named in self.known or not self.has_picture) else self.own


def _samples(tree: FileTree, files: tuple[str, ...]) -> Iterator[_Sample]:
    if not _in_shards(files):
        yield from _loose_samples(tree, files)
        return
    known: dict[str, None] = {}
    for shard, members in _shards(tree, files):
        split = split_of(shard) or ""
        pictures = {_key(member): named for member, (named, _) in members.items() if is_picture(member)}
        known |= dict.fromkeys(pictures.values())
        for member, (named, (start, size)) in members.items():
            if member.lower().endswith(".json"):
                own = pictures.get(_key(member))
                where = f"{tree.where(shard)}!{member}"
                likely = own or posixpath.splitext(named)[0] + ".jpg"
                yield _Sample(tree, where, shard, start, size, likely, own is not None, known, split)


def _loose_samples(tree: FileTree, files: tuple[str, ...]) -> Iterator[_Sample]:
    pictures = {_key(name): name for name in tree.names if is_picture(name)}
    for name in files:
        own = pictures.get(_key(name))
        likely = own or posixpath.splitext(name)[0] + ".jpg"
        split = split_of_path(posixpath.dirname(name)) or ""
        yield _Sample(tree, tree.where(name), name, 0, tree.size(name), likely, own is not None, tree, split)


def _shards(
    tree: FileTree, files: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, tuple[str, tuple[int, int]]]]]:
    """Every shard with its members: name there -> name among all shards, and place."""
    taken: set[str] = set()
    for shard in files:
        members = {}
        for member, place in members_in(tree, shard).items():
            named = member if member not in taken else f"{posixpath.splitext(shard)[0]}/{member}"
            members[member] = named, place
        taken |= {named for named, _ in members.values()}
        yield shard, members


def _in_shards(files: tuple[str, ...]) -> bool:
    return bool(files) and files[0].lower().endswith(".tar")


def _key(member: str) -> str:
    """What the files of one sample share: everything up to the first dot of the last part."""
    folder, base = posixpath.split(member)
    return posixpath.join(folder, base.partition(".")[0])


def _is_shard(tree: FileTree, name: str) -> bool:
    try:
        members = members_in(tree, name)
        first = next((place for member, place in members.items() if member.lower().endswith(".json")), None)
        return first is not None and _is_record(tree.read(name, first[0], min(first[1], HEAD)))
    except InputError:
        return False


def _head(tree: FileTree, name: str) -> bytes:
    try:
        return tree.read(name, 0, HEAD)
    except InputError:
        return b""


def _is_record(head: bytes) -> bool:
    """Whether a JSON text begins as the record of a face."""
    if b'"landmarks"' not in head:
        return False
    kind, first = outline(head)
    points = first.get("landmarks")
    if kind != "object" or not points:
        return False
    return points[0] is None or (isinstance(points[0], list) and len(points[0]) == 2)
