"""YouTube Faces with 68 keypoints: video frames of 347 people (Wolf et al., CVPR 2011)."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from flmd.face import Face
from flmd.sources.datasets.official import Official
from flmd.sources.datasets.rules import DatasetRules

_FRAME = re.compile(r"_\d+$")


class YouTubeFaces(DatasetRules):
    """Subjects are people: ``Luis_Fonsi`` for every ``Luis_Fonsi_<frame>.jpg``."""

    sample_faces = 600
    official = Official(
        url="https://s3.amazonaws.com/video.udacity-data.com/topher/2018/May/5aea1b91_train-test-data/"
        "train-test-data.zip",
        license="research only: frames of the YouTube Faces DB, whose authors provide it for research; "
        "the archive carries no licence of its own",
        about="YouTube Faces keypoints: 68 points in CSV for cropped video frames, training and test folders",
    )

    def subject(self, face: Face) -> str:
        """The person, whichever folder and frame the picture is."""
        stem = PurePosixPath(face.image).stem
        return _FRAME.sub("", stem) or stem

    def make_sample(self, target: Path, faces: int, seed: int) -> None:
        """The sample of ``flmd.sources.sample.archive``, drawn by us."""
        from flmd.sources.sample.archive import make_youtube_faces

        make_youtube_faces(target, faces=faces, seed=seed)


RULES = YouTubeFaces("youtube_faces")
