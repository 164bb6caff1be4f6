"""iBUG 300-W: afw, helen, lfpw and ibug in one list (Sagonas et al., ICCV-W 2013 and IMAVIS 2016)."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from flmd.face import Face, Skipped
from flmd.sources.datasets.official import Official
from flmd.sources.datasets.rules import DatasetRules

_MIRROR = re.compile(r"_mirror$")
_FACE_NUMBER = re.compile(r"_\d+$")
_STANDARD = {
    "afw": ("train", ""),
    "helen/trainset": ("train", ""),
    "lfpw/trainset": ("train", ""),
    "helen/testset": ("test", "common"),
    "lfpw/testset": ("test", "common"),
    "ibug": ("test", "challenging"),
}


class Ibug300W(DatasetRules):
    """Subjects are photographs: the mirrored twin, and every face of one photo, share a subject."""

    sample_faces = 900
    official = Official(
        url="http://dlib.net/files/data/ibug_300W_large_face_landmark_dataset.tar.gz",
        license="research only: the images of 300-W (afw, helen, ibug, lfpw) may not be used commercially",
        about="iBUG 300-W in dlib's packaging: 68 points in imglab XML, about 1.8 GB; "
        "see http://dlib.net/files/data/",
    )

    def folder(self, face: Face) -> str:
        """``afw``, ``helen/trainset`` ... wherever in an archive the picture lies, or ""."""
        parts = PurePosixPath(face.image).parent.parts
        for length in (2, 1):
            name = "/".join(parts[-length:]).lower()
            if name in _STANDARD:
                return name
        return ""

    def subject(self, face: Face) -> str:
        """``helen/100032540`` for ``helen/trainset/100032540_1_mirror.jpg``."""
        path = PurePosixPath(face.image)
        folder = self.folder(face) or str(path.parent)
        photo = _MIRROR.sub("", path.stem)
        if folder.startswith("lfpw"):
            # lfpw numbers its photos from image_0001 in either folder: the folder is part of the name.
            return f"{folder}/{photo}"
        return f"{folder.split('/')[0]}/{_FACE_NUMBER.sub('', photo) or photo}"

    def subset(self, face: Face) -> str:
        """``common`` (helen and lfpw test pictures), ``challenging`` (ibug) or ""."""
        return _STANDARD.get(self.folder(face), ("", ""))[1]

    def standard_split(self, face: Face) -> str | Skipped:
        """By folder: 3148 training, 554 common and 135 challenging test faces; no mirrored test faces."""
        split = _STANDARD.get(self.folder(face), ("", ""))[0]
        if not split:
            return Skipped(
                "no_standard_split", face.where, f"{face.image} lies in none of {', '.join(_STANDARD)}"
            )
        if split == "test" and _MIRROR.search(PurePosixPath(face.image).stem):
            return Skipped(
                "mirrored_test_face", face.where, f"{face.image} is no part of the standard test set"
            )
        return split

    def make_sample(self, target: Path, faces: int, seed: int) -> None:
        """The sample of ``flmd.sources.sample.archive``, drawn by us."""
        from flmd.sources.sample.archive import make_ibug300w

        make_ibug300w(target, faces=faces, seed=seed)


RULES = Ibug300W("ibug300w")
