"""The choices of options are the words that the library knows."""

from typing import get_args

from flmd import formats
from flmd.cli import choices
from flmd.cli.choices import (
    CorrectionFormat,
    DeployedKind,
    EvaluatedSplit,
    Normaliser,
    PicturesBeside,
    SplitUnit,
)
from flmd.conversion.settings import BoxPolicy, Color, SplitPolicy
from flmd.core.params import ConvertParams, DatasetParams, EvaluateParams
from flmd.curation.split_store import UNITS
from flmd.curation.write_annotations import IMAGES
from flmd.evaluation.metrics import NORMALISERS
from flmd.face import SPLITS
from flmd.inference.deploy.export import ENDINGS


def test_options_offer_what_the_library_takes() -> None:
    assert tuple(PicturesBeside) == IMAGES
    assert tuple(SplitUnit) == UNITS
    assert tuple(Normaliser) == NORMALISERS
    assert set(DeployedKind) == set(ENDINGS)
    assert all(formats.get(name).writes for name in CorrectionFormat)
    assert {*EvaluatedSplit} == {*SPLITS, "all"} - {""}


def test_params_and_commands_offer_the_same() -> None:
    assert {"auto", *BoxPolicy} == set(get_args(DatasetParams.model_fields["box"].annotation))
    assert set(choices.Exif) == set(get_args(DatasetParams.model_fields["exif"].annotation))
    assert set(SplitPolicy) == {"keep", *get_args(DatasetParams.model_fields["split"].annotation)}
    assert set(Color) == set(get_args(ConvertParams.model_fields["color"].annotation))
    assert set(Normaliser) == set(get_args(EvaluateParams.model_fields["normaliser"].annotation))
