"""Every format to every other: recognised, as many faces as the account says, each point where it was."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from flmd import formats
from flmd.conversion.opening import open_faces
from flmd.curation.write_annotations import write_faces
from flmd.errors import ParamsError
from flmd.face import Face
from flmd.schemes import get_scheme
from flmd.schemes.mapping import available
from tests.fuzzing import drawn_faces

NAMES = list(formats.BUILT_IN)


def scheme_of(name: str) -> str:
    return formats.get(name).scheme or "ibug68"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three drawn faces, whole pixels, in every format, with their pictures."""
    from flmd.tree import open_tree

    base = tmp_path_factory.mktemp("sources")
    (base / "pictures").mkdir()
    for number in range(3):
        rgb = np.random.default_rng(number).integers(0, 255, (96, 96, 3), dtype=np.uint8)
        cv2.imwrite(str(base / f"pictures/p{number}.png"), rgb)
    made = {}
    with open_tree(base) as pictures:
        for name in NAMES:
            faces = drawn_faces(scheme_of(name))
            for face in faces:
                face.landmarks = np.round(face.landmarks)
            target = base / "out" / name
            account = write_faces(
                faces,
                formats.get(name),
                target,
                get_scheme(scheme_of(name)),
                pictures=pictures,
                images="copy",
            )
            assert account.faces == 3
            made[name] = target
    return made


def read(path: Path, **options: str) -> list[Face]:
    with open_faces(path, **options) as found:
        return [item for item in found if isinstance(item, Face)]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_recognised_by_its_own_format_alone(sources: dict[str, Path], name: str) -> None:
    with open_faces(sources[name]) as found:
        assert (found.kind, found.scheme.name) == (name, scheme_of(name))
        assert len([item for item in found if isinstance(item, Face)]) == 3


@pytest.mark.parametrize("one", NAMES)
def test_to_every_other(sources: dict[str, Path], tmp_path: Path, one: str) -> None:
    own = get_scheme(scheme_of(one))
    reachable = {own.name, *available(own)}
    for other in NAMES:
        wanted = formats.get(other).scheme
        fmt = formats.get(other)
        if wanted is not None and wanted not in reachable:
            with pytest.raises(ParamsError, match="lacks"), open_faces(sources[one], scheme=wanted):
                pass
            continue
        if one == "cofw68" and fmt.needs:
            continue  # its pictures are in COFW's own file
        target = tmp_path / other
        with open_faces(sources[one], scheme=wanted) as found:
            expected = [item for item in found if isinstance(item, Face)]
            account = write_faces(found, fmt, target, found.scheme, pictures=found.pictures, images="copy")
        assert account.missing == 0 or one == "cofw68", other
        back = read(target)
        assert len(back) == account.faces == len(expected) == 3, other
        ours, theirs = (sorted(map(rounded, faces)) for faces in (expected, back))
        step = max(fmt.precision, 0.001)
        for a, b in zip(ours, theirs, strict=True):
            assert np.abs(np.array(a) - b).max() <= 0.51 * step, other


def rounded(face: Face) -> list[list[float]]:
    return np.round(face.landmarks.astype(float), 3).tolist()
