"""What is known of the data sets: subjects, subsets and the standard split, by names worked out by hand."""

from __future__ import annotations

import pytest

from flmd.errors import ParamsError, SourceError
from flmd.face import Face, Skipped
from flmd.sources.datasets.rules import rules_for
from tests.factories import make_face


@pytest.mark.parametrize(
    ("image", "subject", "subset", "split"),
    [
        ("helen/trainset/100032540_1.jpg", "helen/100032540", "", "train"),
        ("helen/trainset/100032540_2_mirror.jpg", "helen/100032540", "", "train"),
        ("top/helen/testset/296814969_3.jpg", "helen/296814969", "common", "test"),
        ("afw/1051618982_1.jpg", "afw/1051618982", "", "train"),
        ("lfpw/trainset/image_0001.png", "lfpw/trainset/image_0001", "", "train"),
        ("lfpw/trainset/image_0001_mirror.jpg", "lfpw/trainset/image_0001", "", "train"),
        ("lfpw/testset/image_0001.png", "lfpw/testset/image_0001", "common", "test"),
        ("ibug/image_003_1.jpg", "ibug/image_003", "challenging", "test"),
    ],
)
def test_ibug_names(image: str, subject: str, subset: str, split: str) -> None:
    face = rules_for("ibug300w").describe(make_face(image, split="train"), "standard")
    assert isinstance(face, Face)
    assert (face.subject, face.subset, face.split, face.dataset) == (subject, subset, split, "ibug300w")


def test_mirrored_test_faces_and_strange_folders_are_no_part_of_the_standard_split() -> None:
    rules = rules_for("ibug300w")
    mirrored = rules.describe(make_face("helen/testset/1_1_mirror.jpg"), "standard")
    assert isinstance(mirrored, Skipped)
    assert mirrored.reason == "mirrored_test_face"
    strange = rules.describe(make_face("mine/a.jpg"), "standard")
    assert isinstance(strange, Skipped)
    assert strange.reason == "no_standard_split"
    assert isinstance(rules.describe(make_face("mine/a.jpg", split="test"), "published"), Face)


def test_youtube_subjects_are_people() -> None:
    rules = rules_for("youtube_faces")
    for image in ("training/Luis_Fonsi_21.jpg", "test/Luis_Fonsi_00.jpg"):
        face = rules.describe(make_face(image), "published")
        assert isinstance(face, Face)
        assert face.subject == "Luis_Fonsi"
    with pytest.raises(ParamsError, match="no standard split"):
        rules.describe(make_face("training/a_1.jpg"), "standard")


def test_unknown_data_sets_get_the_plain_rules(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rules = rules_for("mine")
    face = rules.describe(make_face("a/b.jpg", subject="anna"), "keep")
    assert isinstance(face, Face)
    assert (face.subject, face.dataset) == ("anna", "mine")
    with pytest.raises(SourceError, match="no built-in sample"):
        rules.make_sample(tmp_path / "x", 3, 0)


@pytest.mark.parametrize("name", ["ibug300w", "youtube_faces"])
def test_the_built_in_data_sets_say_where_they_are_published_and_for_whom(name: str) -> None:
    official = rules_for(name).official
    assert official is not None
    assert official.url.startswith("http")
    assert "research only" in official.license
    assert rules_for("own").official is None
