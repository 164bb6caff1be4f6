"""What options may be: Typer lists the choices in the help, and refuses any other word by naming them.

The library says the same words (``tests/cli/test_choices.py`` compares them); importing it to know them
would make every command slow to start.
"""

from enum import StrEnum


class Images(StrEnum):
    """What becomes of the pictures of a conversion."""

    EMBED = "embed"
    COPY = "copy"
    LINK = "link"
    NONE = "none"


class PicturesBeside(StrEnum):
    """What becomes of the pictures of annotations."""

    NONE = "none"
    COPY = "copy"
    LINK = "link"


class Exif(StrEnum):
    """The frame of coordinates where a picture has an EXIF orientation; auto: its format's."""

    AUTO = "auto"
    STORED = "stored"
    SHOWN = "shown"


class CorrectionFormat(StrEnum):
    """The annotation program that labels are corrected in."""

    CVAT = "cvat"
    LABEL_STUDIO = "label-studio"


class SplitUnit(StrEnum):
    """What stays whole when a split is drawn; random: single faces."""

    SUBJECT = "subject"
    IMAGE = "image"
    RANDOM = "random"


class EvaluatedSplit(StrEnum):
    """The faces that a model is measured on."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"
    ALL = "all"


class Normaliser(StrEnum):
    """The length that errors are divided by."""

    INTER_OCULAR = "inter_ocular"
    INTER_PUPIL = "inter_pupil"
    BOX = "box"
    DIAGONAL = "diagonal"


class ChartKind(StrEnum):
    """What charts are written as beside PNG."""

    SVG = "svg"
    PDF = "pdf"


class Resample(StrEnum):
    """How faces are cut out of pictures: as training cut them, or in one resampling."""

    STORE = "store"
    DIRECT = "direct"


class DeployedKind(StrEnum):
    """The file that a model is exported as."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"


class Cpu(StrEnum):
    """The instructions that do the arithmetic, see ``flmd.core.processor``."""

    PORTABLE = "portable"
    NATIVE = "native"
