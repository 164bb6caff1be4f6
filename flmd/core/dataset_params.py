"""One data set of params.yaml: where it comes from, how it is read, how it is split. All but the source has
a default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

AUTO: Final = "auto"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
EXPECTED_NAME = "letters, digits, - and _"
EXPECTED_SOURCE = "official, sample, {sample: NUMBER OF FACES}, a folder, an archive or a URL"


class Section(BaseModel):
    """A section of params.yaml: read-only, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


def _source(value: Any) -> Any:
    """A text, or ``{"sample": number}``."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, Mapping) and set(value) == {"sample"}:
        faces = value["sample"]
        if isinstance(faces, int) and not isinstance(faces, bool) and faces > 0:
            return {"sample": faces}
    raise ValueError(f"is {_plain(value)!r}; expected {EXPECTED_SOURCE}")


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


class DatasetParams(Section):
    """One data set."""

    source: Annotated[str | dict[str, int], BeforeValidator(_source)] = Field(description=EXPECTED_SOURCE)
    format: str = Field(
        default=AUTO, min_length=1, description="annotation format, as `flmd-data formats` lists it"
    )
    scheme: str = Field(
        default=AUTO, min_length=1, description="of its points, where its files do not tell: docs/schemes.md"
    )
    accept_license: bool = Field(default=False, description="of official data; changes no result")
    names: Literal["auto", "keep", "0", "1"] | dict[str, str | int | None] | list[str | int] = Field(
        default=AUTO, description="what names of points mean, as --names of `flmd-data convert`"
    )
    exif: Literal["auto", "stored", "shown"] = Field(
        default=AUTO, description="frame of coordinates where a picture has an EXIF orientation, as --exif"
    )
    box: Literal["auto", "annotated", "landmarks", "image"] = Field(
        default=AUTO, description="auto: annotated where the format has boxes, else landmarks"
    )
    split: Literal["published", "standard", "subject"] = "subject"
    val_share: float = Field(default=0.1, ge=0, lt=1, description="of the training faces, by subject")
    test_share: float = Field(default=0.2, ge=0, lt=1, description="of all faces; used by split: subject")

    @property
    def is_sample(self) -> bool:
        """Whether the source is the built-in sample."""
        return self.source == "sample" or not isinstance(self.source, str)

    @property
    def sample_faces(self) -> int | None:
        """Faces of the sample that are asked for; None where no number is."""
        return None if isinstance(self.source, str) else self.source["sample"]

    @property
    def address(self) -> str:
        """A source that is not the sample: ``official``, a path or a URL."""
        return "sample" if self.is_sample else str(self.source)
