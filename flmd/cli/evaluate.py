"""`flmd evaluate`: measure models, and other programs' points, on the faces of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flmd.cli.choices import ChartKind, Cpu, EvaluatedSplit, Normaliser
from flmd.cli.reading import Base, FormatOptions, Names, Reading, reading
from flmd.core import terminal
from flmd.errors import InputError, ParamsError
from flmd.tree import is_address

if TYPE_CHECKING:
    from flmd.core.params import EvaluateParams
    from flmd.evaluation.evaluate import System, Truth

Store = Annotated[Path, typer.Argument(metavar="STORE", help="A face store, from `flmd-data convert`.")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", metavar="[NAME=]FILE", help="From `flmd train`; several for a comparison."),
]
Predictions = Annotated[
    list[str] | None,
    typer.Option(
        "--predictions",
        "-p",
        metavar="[NAME=]FILE",
        help="Another program's points in any format that flmd reads; several for a comparison.",
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for numbers, tables and pictures.")]
Split = Annotated[EvaluatedSplit, typer.Option(help="The faces to measure.")]
NormaliserName = Annotated[Normaliser, typer.Option(help="The length that errors are divided by.")]
Threshold = Annotated[float, typer.Option(help="Of AUC and failure rate.")]
SchemeName = Annotated[
    str | None, typer.Option(help="Map all points to this landmark scheme, and measure under it.")
]
From = Annotated[str | None, typer.Option("--from", help="Format of the predictions; found out by default.")]
Overlap = Annotated[float, typer.Option(help="Least overlap (IoU) of a predicted face with its face.")]
Also = Annotated[
    list[ChartKind] | None, typer.Option("--also", help="Write the charts as SVG or PDF beside PNG.")
]
SecondLook = Annotated[
    bool, typer.Option("--second-look", help="Models draw boxes anew around their first points.")
]
FlipAverage = Annotated[
    bool, typer.Option("--flip-average", help="Models average the points of crops and their mirror images.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Seed = Annotated[int, typer.Option(help="Which faces the random gallery shows, and of the intervals.")]
CpuKind = Annotated[Cpu, typer.Option(help="As train.cpu in params.yaml.")]
Overwrite = Annotated[bool, typer.Option(help="Replace an evaluation in OUT.")]


def evaluate_command(
    store: Store,
    out: Out,
    model: Models = None,
    predictions: Predictions = None,
    split: Split = EvaluatedSplit.TEST,
    normaliser: NormaliserName = Normaliser.INTER_OCULAR,
    threshold: Threshold = 0.08,
    scheme: SchemeName = None,
    from_: From = None,
    names: Names = None,
    option: FormatOptions = None,
    base: Base = None,
    overlap: Overlap = 0.3,
    also: Also = None,
    second_look: SecondLook = False,
    flip_average: FlipAverage = False,
    device: Device = "auto",
    seed: Seed = 0,
    cpu: CpuKind = Cpu.PORTABLE,
    overwrite: Overwrite = False,
) -> None:
    """Measure models, and other programs' points, on the faces of a store.

    Predictions are matched to the store's faces by picture and overlap; what has no counterpart is counted
    and listed in unmatched_NAME.csv. Several models and predictions are compared on the same faces.

    Example: flmd evaluate data/faces.h5 --model data/model/best.pt --predictions dlib.xml --out reports/dlib
    """
    from flmd.core import processor

    processor.restart_pinned(cpu.value)
    if not 0 < threshold < 10:
        raise ParamsError(f"--threshold is {threshold}", expected="a fraction above 0, such as 0.08")
    if not 0 < overlap <= 1:
        raise ParamsError(f"--overlap is {overlap}", expected="above 0, at most 1")
    models, files = _named(model or [], "--model"), _named(predictions or [], "--predictions")
    if not models and not files:
        raise ParamsError("nothing to measure", expected="--model FILE or --predictions FILE")
    for name in models.keys() & files.keys():
        raise ParamsError(
            f"a model and predictions are both called {name}", hint=f"--predictions NAME={files[name]}"
        )
    _check_free(out, overwrite)
    meant = reading(names, option, base)
    charts = tuple(kind.value for kind in also or ())
    wanted = _Wanted(from_, meant, overlap, charts, split.value, seed, device, scheme, cpu.value)
    from flmd.core.params import EvaluateParams

    settings = EvaluateParams(
        normaliser=normaliser.value, threshold=threshold, second_look=second_look, flip_average=flip_average
    )
    _measure(store, out, models, files, wanted, settings)


@dataclass(frozen=True)
class _Wanted:
    """The options that say how things are read and written."""

    from_: str | None
    meant: Reading
    overlap: float
    charts: tuple[str, ...]
    split: str
    seed: int
    device: str
    scheme: str | None
    cpu: str

    def record(self) -> dict[str, Any]:
        """For the record of what was made."""
        scheme = {} if self.scheme is None else {"scheme": self.scheme}
        return {"split": self.split, "seed": self.seed, "device": self.device, "cpu": self.cpu, **scheme}


def _measure(
    store: Path,
    out: Path,
    models: dict[str, str],
    files: dict[str, str],
    wanted: _Wanted,
    settings: EvaluateParams,
) -> None:
    from flmd.core import provenance
    from flmd.evaluation import comparison_files, report_files
    from flmd.evaluation.evaluate import evaluate_system, model_system, truth_of
    from flmd.models import checkpoint
    from flmd.store.face_store import FaceStore

    used: dict[str, Any] = {"evaluate": settings, **wanted.record()}
    inputs: dict[Path, Any] = {
        Path(path): checkpoint.read_info(Path(path)).made_from for path in models.values()
    }
    with FaceStore(store) as faces:
        truth = truth_of(faces, wanted.split, wanted.scheme)
        digests: dict[str, str] = {}
        systems = [_predicted(truth, name, file, wanted, out, digests) for name, file in files.items()]
        systems += [
            model_system(truth, name, Path(path), settings, device=wanted.device)
            for name, path in models.items()
        ]
        if files:
            used |= {"overlap": wanted.overlap, "predictions": wanted.meant.record()}
        record = provenance.made_from({store: faces.made_from, **inputs}, used, stage="flmd evaluate")
        record["inputs"] |= digests
        shared: dict[str, Any] = {"seed": wanted.seed, "kinds": wanted.charts, "made_from": record}
        if len(systems) == 1:
            measured = evaluate_system(truth, systems[0], out, settings, **shared)
            terminal.show(*report_files.metrics_table(measured.metrics, measured.settings))
        else:
            found, each = comparison_files.evaluate_systems(truth, systems, out, settings, **shared)
            terminal.show(*comparison_files.comparison_table(found, each, settings))


def _predicted(
    truth: Truth, name: str, file: str, wanted: _Wanted, out: Path, digests: dict[str, str]
) -> System:
    """Another program's points; says on stderr what has no counterpart, and lists it in a file."""
    from flmd.cli.common import check_there, tell_passed_over
    from flmd.conversion.opening import open_faces
    from flmd.evaluation.evaluate import predicted_system

    check_there(file)
    with open_faces(file, from_=wanted.from_, scheme=truth.scheme.name, **wanted.meant.how()) as source:
        tell_passed_over(source)
        about = {"kind": "predictions", "file": Path(file).name, "format": source.kind}
        system, matched = predicted_system(
            truth, name, source, about, least=wanted.overlap, frame=source.frame
        )
        for label, digest in source.made_from({}, "")["inputs"].items():
            digests[label if label not in digests else f"{name}: {label}"] = digest
    for line in matched.lines():
        terminal.say(f"{name}: {line}", err=True)
    if not matched.used:
        raise InputError(
            f"not one of its {matched.read} faces is a face of the store" + _example(truth, matched),
            where=file,
            hint="pictures are matched by the end of their paths, faces by overlap",
        )
    matched.write_unmatched(out / f"unmatched_{name}.csv")
    return system


def _example(truth: Truth, matched: Any) -> str:
    """Why the first of them is none, beside a picture of the store."""
    first = next((item for item in matched.unmatched if item.side == "predictions"), None)
    if first is None:
        return ""
    return f": {first.image}: {first.reason} (a picture there is {truth.faces.image[0]})"


def _named(given: Sequence[str], option: str) -> dict[str, str]:
    """Name -> file of NAME=FILE, or FILE under the name of its stem, which has to differ."""
    from flmd.evaluation.comparison_files import folder_of

    found: dict[str, str] = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not equals or is_address(text) or Path(text).exists():
            file = text
            last = text.rstrip("/").rpartition("/")[2]
            name = last.partition(".")[0] or last
        name = folder_of(name)
        if name in found:
            raise ParamsError(f"{option} {text}: another one is called {name}", hint=f"{option} NAME={file}")
        found[name] = file
    return found


def _check_free(out: Path, overwrite: bool) -> None:
    """ParamsError when OUT is a file, or holds an evaluation that was not to be replaced."""
    if out.exists() and not out.is_dir():
        raise ParamsError("is a file", where=str(out), expected="a folder")
    for name in ("metrics.json", "comparison.json"):
        if (out / name).exists() and not overwrite:
            raise ParamsError(
                f"holds an evaluation ({name}) already", where=str(out), hint="add --overwrite to replace it"
            )
