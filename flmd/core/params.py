"""params.yaml as typed, validated, read-only objects.

Every key is checked when the file is read, whichever stage asks: a misspelt key, a wrong type or an
impossible value stops the first stage, not the last. Fields say their unit and range.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from flmd.core import geometry, yaml_text
from flmd.core.dataset_params import EXPECTED_NAME, NAME, DatasetParams, Section
from flmd.errors import ParamsError, did_you_mean

Probability = Annotated[float, Field(ge=0, le=1)]
Option = str | int | float | bool | None | list[float]
ALL = "all"
GONE = {"sample_faces": "write source: {sample: NUMBER OF FACES}"}  # keys of earlier versions


class DownloadParams(Section):
    """Limits on archives: what lies above is refused as a decompression bomb."""

    max_total_gib: float = Field(default=20, gt=0)
    max_ratio: float = Field(default=200, gt=1)


class ConvertParams(Section):
    """The face store."""

    scheme: str = "ibug68"
    color: Literal["rgb", "grey"] = "rgb"
    crop_size: int = Field(gt=0, le=4096, description="side of a context crop, pixels")
    margin: float = Field(gt=0, description="side of the context crop over the box's longer side")
    max_megapixels: float = Field(
        default=200,
        gt=0,
        description="larger pictures are skipped, undecoded; all but plain JPEG at a half to a quarter",
    )


class AugmentParams(Section):
    """Crops at network size. Limits are symmetric unless said otherwise; 0 turns a change off."""

    input_size: int = Field(gt=0, le=2048, description="side of the network's input, pixels")
    color: Literal["rgb", "grey"] = "grey"
    padding: float = Field(gt=0, description="side of the padded square over the box's longer side")
    crop: float = Field(default=1.0, gt=0, le=1, description="share of the padded square kept")
    variants: int = Field(
        ge=1, le=1000, description="versions of each training face, the first plain; 1 where training is live"
    )
    rotation: float = Field(default=0, ge=0, le=180, description="degrees")
    scale: float = Field(default=0, ge=0, lt=1, description="face size, 1 - s ... 1 + s")
    shift: float = Field(default=0, ge=0, le=0.5, description="share of the crop's side")
    aspect: float = Field(default=0, ge=0, lt=1, description="width over height, 1 - a ... 1 + a")
    shear: float = Field(default=0, ge=0, le=1, description="slant of upright lines, its tangent")
    flip: float = Field(default=0, ge=0, le=1, description="probability")
    flip_of: dict[str, Probability] = Field(
        default_factory=dict, description="data set -> a probability of its own"
    )
    offset_of: dict[str, float] = Field(
        default_factory=dict,
        description="data set -> how far its points lie right of what they mark, pixels of the picture",
    )
    brightness: float = Field(default=0, ge=0, le=1, description="factor 1 - b ... 1 + b")
    contrast: float = Field(default=0, ge=0, le=1, description="factor 1 - c ... 1 + c")
    saturation: float = Field(default=0, ge=0, le=1, description="factor 1 - s ... 1 + s")
    hue: float = Field(default=0, ge=0, le=0.5, description="turns about the axis of greys")
    grey: float = Field(default=0, ge=0, le=1, description="probability of a grey picture")
    blur: float = Field(default=0, ge=0, description="largest Gaussian sigma, input pixels")
    noise: float = Field(default=0, ge=0, le=1, description="largest standard deviation, share of 255")
    occlusion: float = Field(default=0, ge=0, le=1, description="probability of a covering rectangle")

    albumentations: list[dict[str, Any]] = Field(
        default_factory=list, description="further pixel-level transforms: name and options of each"
    )

    def stored_for(self, augmentation: str) -> AugmentParams:
        """What the stage `augment` makes for ``train.augmentation``: for ``live`` the plain crop alone."""
        return self if augmentation == "stored" else self.model_copy(update={"variants": 1})

    def ever_flips(self) -> bool:
        """Whether any face may be mirrored."""
        return any(probability > 0 for probability in (self.flip, *self.flip_of.values()))

    def reach(self) -> float:
        """The context crop's margin that no augmentation within these limits ever looks beyond."""
        return geometry.reach(
            rotation=self.rotation,
            scale=1 - self.scale,
            shift=self.shift + (1 - self.crop) / (2 * self.crop),
            padding=self.padding * self.crop,
            aspect=self.aspect,
            shear=self.shear,
        )


class TrainParams(Section):
    """The network and how it learns."""

    datasets: list[str] = Field(
        default_factory=list, min_length=1, description="names, or all, which is what is taken by default"
    )
    augmentation: Literal["stored", "live"] = Field(
        default="stored", description="versions made beforehand, or a new one of every face in every epoch"
    )
    network: str
    network_options: dict[str, Option] = Field(default_factory=dict)
    pretrained: str = Field(
        default="none",
        description="none, imagenet, or a file in data/weights: torchvision's, or a model of flmd",
    )
    teacher: str = Field(
        default="none", description="none, or a model in data/weights that it also learns from"
    )
    teacher_weight: float = Field(
        default=0.5, gt=0, le=1, description="of the teacher's point in the target, beside the label's"
    )
    pixel_mean: float | list[float] = Field(default=0.5, description="of pixels in 0..1, subtracted")
    pixel_std: float | list[float] = Field(default=0.5, description="of pixels in 0..1, divided by")
    points_offset: float = Field(default=0.5, description="in units of the input's side, subtracted")
    points_scale: float = Field(default=1.0, gt=0, description="in units of the input's side, divided by")
    loss: str = "mse"
    loss_options: dict[str, Option] = Field(default_factory=dict)
    optimizer: str = "adam"
    optimizer_options: dict[str, Option] = Field(default_factory=dict)
    lr: float = Field(gt=0)
    schedule: str = "constant"
    schedule_options: dict[str, Option] = Field(default_factory=dict)
    ema_decay: float = Field(default=0.0, ge=0, lt=1, description="of the averaged weights; 0: no average")
    epochs: int = Field(ge=1)
    batch: int = Field(ge=1)
    epoch_faces: int = Field(default=0, ge=0, description="crops an epoch draws; 0: all of them")
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "bfloat16_emulated"] = "auto"
    deterministic: bool = True
    cpu: Literal["portable", "native"] = Field(
        default="portable", description="the instructions of its arithmetic: AVX2's, or all that are here"
    )
    threads: int = Field(
        default=0, ge=0, le=1024, description="of the CPU; 0: as torch chooses. The last digits hang on it"
    )


class EvaluateParams(Section):
    """What is measured."""

    normaliser: Literal["inter_ocular", "inter_pupil", "box", "diagonal"] = "inter_ocular"
    threshold: float = Field(default=0.08, gt=0, description="of AUC and failure rate")
    second_look: bool = Field(default=False, description="boxes are drawn anew around the first points")
    flip_average: bool = Field(default=False, description="points: means of those of the crop and its mirror")
    gallery: int = Field(default=16, ge=1, le=100, description="faces in each gallery")


class Params(Section):
    """All of params.yaml."""

    seed: int = Field(ge=0, lt=2**32)
    datasets: dict[str, DatasetParams] = Field(min_length=1)
    download: DownloadParams = Field(default_factory=DownloadParams)
    convert: ConvertParams
    augment: AugmentParams
    train: TrainParams
    evaluate: EvaluateParams = Field(default_factory=EvaluateParams)

    def dataset(self, name: str) -> DatasetParams:
        """A data set by its name; ParamsError naming those there are, and the nearest."""
        if name not in self.datasets:
            what = f"no data set {name!r}" if name else "no data set is named"
            known = f"one of {', '.join(self.datasets)}"
            raise ParamsError(what, where="datasets", expected=known, hint=did_you_mean(name, self.datasets))
        return self.datasets[name]

    def not_trained_on(self) -> list[str]:
        """The data sets that train.datasets leaves out."""
        return [name for name in self.datasets if name not in self.train.datasets]

    @model_validator(mode="before")
    @classmethod
    def _all_datasets(cls, tree: Any) -> Any:
        """``train.datasets: all`` becomes the names of all; without data sets, say how to have one."""
        datasets, train = tree.get("datasets"), tree.get("train")
        if "datasets" in tree and not datasets:
            raise ValueError("datasets: there is none; add one with `flmd dataset add NAME SOURCE`")
        named = isinstance(datasets, Mapping) and isinstance(train, Mapping)
        if named and train.get("datasets", ALL) == ALL:
            return {**tree, "train": {**train, "datasets": list(datasets)}}
        return tree

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        for name in self.datasets:
            if not NAME.fullmatch(name):
                raise ValueError(f"datasets: {name!r} is no name; expected {EXPECTED_NAME}")
        used = {"train.datasets": self.train.datasets}
        used |= {f"augment.{key}": list(getattr(self.augment, key)) for key in ("flip_of", "offset_of")}
        for key, names in used.items():
            for name in names:
                if name not in self.datasets:
                    near = did_you_mean(name, self.datasets)
                    known = f"known: {', '.join(self.datasets)}" + (f"; {near}" if near else "")
                    raise ValueError(f"{key}: {name!r} is not a data set; {known}")
        if self.augment.color == "rgb" and self.convert.color == "grey":
            raise ValueError("augment.color: rgb needs colour crops; set convert.color: rgb")
        if self.train.pretrained == "none" and self.train.network_options.get("freeze"):
            raise ValueError(
                "train.network_options.freeze: true would keep weights drawn at random (train.pretrained is "
                "none); set it to false, or set train.pretrained"
            )
        need = self.augment.reach()
        if need > self.convert.margin + 1e-9:
            raise ValueError(
                f"convert.margin: {self.convert.margin:g} is too small for the augmentation, which looks as "
                f"far as {need:.4g} times the box; set it to at least {need:.4g} or tighten augment"
            )
        return self


def load(path: Path | str = "params.yaml") -> Params:
    """Read and check a params file.

    Raises
    ------
    ParamsError : naming the file and the key (with the nearest right one for a misspelt key), the
        value found and what was expected.
    """
    path = Path(path)
    try:
        tree = yaml_text.read(path.read_bytes())
    except FileNotFoundError:
        raise ParamsError("no such file", where=str(path), hint="run from the project's folder") from None
    except yaml_text.YamlTextError as error:
        raise ParamsError(error.what, where=error.at(str(path))) from None
    if not isinstance(tree, Mapping):
        raise ParamsError(
            "not a mapping of sections", where=str(path), expected="keys " + ", ".join(Params.model_fields)
        )
    return parse(tree, where=str(path))


def parse(tree: Mapping[str, Any], *, where: str = "params") -> Params:
    """Check a mapping as :func:`load` checks a file's."""
    try:
        return Params.model_validate(dict(tree))
    except ValidationError as error:
        raise _as_params_error(error, where) from None


def _as_params_error(error: ValidationError, where: str) -> ParamsError:
    """The first finding, misspelt keys before the rest: they are usually the cause."""
    findings = sorted(error.errors(), key=lambda f: f["type"] != "extra_forbidden")
    first = findings[0]
    key = ".".join(str(part) for part in first["loc"] if part not in ("float", "list[float]", "int", "str"))
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _fields_at(first["loc"][:-1])
        last = str(first["loc"][-1])
        hint = GONE.get(last) or did_you_mean(last, known) or f"known keys: {', '.join(known)}"
        return ParamsError(f"unknown key {key!r}{more}", where=where, hint=hint)
    if first["type"] == "missing":
        return ParamsError(f"key {key!r} is missing{more}", where=where)
    if first["type"] == "value_error":
        of = f"{key} " if key else ""
        return ParamsError(f"{of}{first['ctx']['error']}{more}", where=where)
    text = first["msg"].replace("Input should be ", "")
    return ParamsError(f"{key} is {first['input']!r}{more}", where=where, expected=text)


def _fields_at(location: tuple[str | int, ...]) -> list[str]:
    """Names of the keys allowed at a place in the tree."""
    model: type[BaseModel] = Params
    for part in location:
        if model is Params and part == "datasets":
            continue
        if model is Params and location[0] == "datasets":
            model = DatasetParams
            continue
        kind = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        model = kind
    return list(model.model_fields)
