"""What `flmd predict` is given: files, folders, archives and patterns, as one tree of pictures and videos."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from flmd.errors import InputError
from flmd.tree import FileTree, open_tree
from flmd.tree.folder import PathTree

HEAD = 16  # bytes
# First bytes of videos, at an offset. Nothing else is handed to FFmpeg, which would follow a play list to
# other files and addresses.
_VIDEOS = (
    (8, b"AVI "),  # RIFF
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (0, b"\x00\x00\x01\xba"),  # MPEG program stream
    (0, b"FLV\x01"),
    (0, b"OggS"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF, WMV
)
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")  # pictures in an MP4 container
_PICTURES = (
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"GIF8",
    b"BM",
    b"II*\0",
    b"MM\0*",
    *(b"P%d" % n for n in range(1, 7)),
)
_ENDINGS = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif")
)  # also when damaged


class JoinedTree(FileTree):
    """Files of several trees under names of their own.

    Parameters
    ----------
    members : name -> the tree it comes from and its name there. The trees are not closed with this one.
    """

    kind = "folder"

    def __init__(self, origin: str, members: dict[str, tuple[FileTree, str]]) -> None:
        super().__init__(origin, members)
        self._members = members

    def member(self, name: str) -> tuple[FileTree, str]:
        """The tree that a file comes from, and its name there."""
        if name not in self._members:
            raise self._missing(name)
        return self._members[name]

    def where(self, name: str) -> str:
        if name not in self._members:
            return super().where(name)
        tree, inner = self._members[name]
        return tree.where(inner)

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        tree, inner = self.member(name)
        return tree.read(inner, start, size)

    def open(self, name: str) -> BinaryIO:
        tree, inner = self.member(name)
        return tree.open(inner)

    def size(self, name: str) -> int:
        tree, inner = self.member(name)
        return tree.size(inner)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Sources:
    """What was named, sorted out.

    ``tree``: all of it. ``pictures``, ``videos``: names in it; a file named on the command line that is no
    video counts as a picture, whatever it is, so that it is not passed over in silence. ``ignored``: files
    of folders and archives that are neither.
    """

    tree: JoinedTree
    pictures: list[str]
    videos: list[str]
    ignored: int

    def stamps(self) -> Iterator[tuple[str, int, int]]:
        """Name, bytes and time of last change, ns, of each picture and video; of members, their archive's."""
        archives: dict[str, int] = {}
        for name in (*self.pictures, *self.videos):
            tree, inner = self.tree.member(name)
            if isinstance(tree, PathTree):
                found = tree.path(inner).stat()
                yield name, found.st_size, found.st_mtime_ns
                continue
            if tree.origin not in archives:
                path = Path(tree.origin)
                archives[tree.origin] = path.stat().st_mtime_ns if path.is_file() else 0
            yield name, tree.size(inner), archives[tree.origin]


@contextmanager
def open_sources(
    arguments: Sequence[str], *, without: Path | None = None, scratch: Path | None = None
) -> Iterator[Sources]:
    """Open files, folders, archives and glob patterns.

    Names are relative to the folder that all arguments lie in: a folder or an archive named alone gives its
    own names.

    Raises
    ------
    InputError : nothing there, no match, an archive that cannot be read, or no picture at all.
    """
    paths = [path for argument in arguments for path in _expanded(argument)]
    paths = list(dict.fromkeys(paths))
    alone = len(paths) == 1
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    members: dict[str, tuple[FileTree, str]] = {}
    pictures: list[str] = []
    videos: list[str] = []
    ignored = 0
    with ExitStack() as stack:
        for path in paths:
            tree = stack.enter_context(open_tree(path, scratch=scratch))
            at = PurePosixPath(path.absolute().relative_to(root).as_posix())
            for inner in tree.names:
                name = inner if alone else str(at if tree.kind == "file" else at / inner)
                if without is not None and tree.kind == "folder" and _inside(path / inner, without):
                    continue
                kind = _kind(inner, tree.read(inner, 0, HEAD))
                if kind == "other" and tree.kind != "file":
                    ignored += 1
                    continue
                members[name] = tree, inner
                (videos if kind == "video" else pictures).append(name)
        if not members:
            listed = ", ".join(arguments)
            raise InputError(f"no picture or video among {ignored} files", where=listed)
        yield Sources(JoinedTree(", ".join(arguments), members), pictures, videos, ignored)


def is_video(head: bytes) -> bool:
    """Whether the first ``HEAD`` bytes are those of a video."""
    if head[4:8] == b"ftyp":
        return head[8:12] not in _STILL_BRANDS
    if head[8:12] == b"AVI ":
        return head.startswith(b"RIFF")
    return any(head[at : at + len(magic)] == magic for at, magic in _VIDEOS)


def _inside(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder.absolute())


def _kind(name: str, head: bytes) -> str:
    if is_video(head):
        return "video"
    known = head.startswith(_PICTURES) or head[8:12] == b"WEBP" or head[4:8] == b"ftyp"
    known = known or PurePosixPath(name).suffix.lower() in _ENDINGS
    return "picture" if known else "other"


def _expanded(argument: str) -> list[Path]:
    """The paths of an argument; a pattern stands for its matches, sorted, unless a file has that name."""
    path = Path(argument)
    if path.exists() or not glob.has_magic(argument):
        if not path.exists():
            raise InputError("no such file or folder", where=argument)
        return [path]
    found = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 - absolute patterns, too
    files = [Path(name) for name in found if not Path(name).is_dir()]
    if not files:
        raise InputError("nothing matches this pattern", where=argument)
    return files
