"""What the tests of the text formats share: trees from texts, mutations, other formats' files."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping
from pathlib import Path

from flmd.errors import FlmdError
from flmd.face import Face, Skipped
from flmd.formats import Format
from flmd.schemes import Scheme
from flmd.tree import FileTree, open_tree


def tree_of(folder: Path, files: Mapping[str, str | bytes]) -> FileTree:
    """A tree of these files; a name ending in .jpg may hold anything."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))
    return open_tree(folder)


def read(fmt: Format, scheme: Scheme, folder: Path, files: Mapping[str, str | bytes]) -> list[Face | Skipped]:
    """All that is read of the files that are detected."""
    with tree_of(folder, files) as tree:
        found = fmt.detect(tree)
        assert found.fits, found.why
        return list(fmt.read(tree, scheme, found.files))


def reasons(items: list[Face | Skipped]) -> list[str]:
    """The reason of each skipped one, "" for each face."""
    return [item.reason if isinstance(item, Skipped) else "" for item in items]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut out, doubled or put in."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            out[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del out[at : at + rng.randrange(1, 60)]
        elif kind == 2:
            out[at:at] = rng.choice(
                [b"nan", b"1e999", b"-inf", b"\0", b"\xff", b"\n", b" ", b"9" * 400, b"../"]
            )
        elif kind == 3:
            out[at:at] = out[at : at + rng.randrange(60)]
        else:
            del out[at:]
    return bytes(out)


def fuzz(fmt: Format, scheme: Scheme, folder: Path, name: str, data: bytes, rounds: int = 300) -> None:
    """Every mutation of a file ends in faces, Skipped or a FlmdError; detection never raises."""
    rng = random.Random(5)
    for _ in range(rounds):
        (folder / name).write_bytes(mutated(data, rng))
        with open_tree(folder) as tree:
            fmt.detect(tree)
            with contextlib.suppress(FlmdError):
                fmt.scheme_in(tree, (name,))
                for item in fmt.read(tree, scheme, (name,)):
                    assert isinstance(item, Face | Skipped)


FLAT98 = " ".join(f"{i}.5" for i in range(196))
SAMPLES: dict[str, dict[str, str]] = {
    "wflw": {"list_98pt_test.txt": f"{FLAT98} a/b.jpg\n"},
    "celeba": {
        "list_landmarks_celeba.txt": "1\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y "
        "leftmouth_x leftmouth_y rightmouth_x rightmouth_y\n000001.jpg 1 2 3 4 5 6 7 8 9 10\n"
    },
    "lapa": {"landmarks/a.txt": "3\n1.0 2.0\n3.0 4.0\n5.0 6.0\n"},
    "mtcnn": {"trainImageList.txt": "a\\b.jpg 0 10 0 10 1 2 3 4 5 6 7 8 9 10\n"},
    "yolo-pose": {"labels/a.txt": "0 0.5 0.5 0.1 0.1 " + "0.5 " * 10 + "\n"},
    "yolo-98": {"labels/a.txt": "0 0.5 0.5 0.1 0.1 " + "0.5 " * 196 + "\n"},
    "pts": {"a.pts": "version: 1\nn_points: 1\n{\n1 2\n}\n"},
    "corners": {"x.txt": "a/b.jpg 0 3 10 20 1 4 3 4 5 6 7 8 9 10\n"},  # x y x y and five points
    "words": {"README.txt": "106 points of each face\n1 2 3\n"},
    "numbers": {"x.txt": "1 2\n3 4\n"},
    "boxes": {"list_bbox_celeba.txt": "1\nimage_id x_1 y_1 width height\n000001.jpg 1 2 30 40\n"},
    "empty": {"x.txt": ""},
}


def assert_fits_only_its_own(fmt: Format, folder: Path) -> None:
    """The format fits its own sample and says of each other what is missing."""
    for name, files in SAMPLES.items():
        with tree_of(folder / name, files) as tree:
            found = fmt.detect(tree)
            assert found.fits == (name == fmt.name), (name, found.why)
            assert found.why
            assert [fmt.accepts(tree, n) for n in tree.names] == [name == fmt.name]
