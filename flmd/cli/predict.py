"""`flmd predict` and `flmd camera`: a model on pictures, videos and what a camera sees."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from flmd.cli.choices import PicturesBeside, Resample
from flmd.cli.common import check_free
from flmd.cli.predict_run import Run, Wanted
from flmd.core import terminal
from flmd.errors import InputError, ParamsError

MODEL = Path("data/model/best.pt")
Model = Annotated[Path, typer.Option("--model", "-m", help="From `flmd train` or `dvc repro`.")]
DetectorName = Annotated[
    str, typer.Option("--detector", help="haar, yunet:FILE.onnx, none (the whole picture) or boxes.csv.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Smooth = Annotated[bool, typer.Option(help="Smooth the points of videos over time (One-Euro filter).")]
Every = Annotated[int, typer.Option(help="Videos: detect at every so manieth frame.", min=1)]
Numbers = Annotated[bool, typer.Option(help="Draw the index beside each point.")]
Paths = Annotated[
    list[str], typer.Argument(metavar="PATH...", help="Pictures, videos, folders, archives or 'patterns*'.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]
To = Annotated[str, typer.Option(help="Format of the annotations, any of flmd-data's.")]
Drawn = Annotated[bool, typer.Option("--draw/--no-draw", help="Write the pictures, drawn.")]
Beside = Annotated[PicturesBeside, typer.Option(help="Copy or link the pictures beside the annotations.")]
Exif = Annotated[bool, typer.Option(help="Turn pictures upright as their EXIF says.")]
Partial = Annotated[
    bool, typer.Option(help="Leave points that the format's scheme has and the model has not unlabelled.")
]
ResampleName = Annotated[
    Resample, typer.Option(help="store: cut faces as training did; direct: resample once.")
]
Overwrite = Annotated[bool, typer.Option(help="Replace results that are in the folder.")]
SecondLook = Annotated[
    bool, typer.Option("--second-look", help="Draw boxes anew around the first points, and look again.")
]
FlipAverage = Annotated[
    bool, typer.Option("--flip-average", help="Average the points of each crop and its mirror image.")
]
Pose = Annotated[bool, typer.Option("--pose", help="Tell the head pose of faces in pictures, in degrees.")]
Confidence = Annotated[
    bool, typer.Option("--confidence", help="Tell how sure each point of faces in pictures is.")
]
Batch = Annotated[
    int, typer.Option(help="Faces of pictures that go through the network at once.", min=1, max=512)
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print a line of JSON for each picture, and write no files.")
]


def predict_command(
    paths: Paths,
    model: Model = MODEL,
    detector: DetectorName = "haar",
    out: Out = Path("predictions"),
    to: To = "coco",
    numbers: Numbers = False,
    drawn: Drawn = True,
    images: Beside = PicturesBeside.NONE,
    exif: Exif = True,
    every: Every = 8,
    smooth: Smooth = True,
    partial: Partial = False,
    second_look: SecondLook = False,
    flip_average: FlipAverage = False,
    device: Device = "auto",
    resample: ResampleName = Resample.STORE,
    pose: Pose = False,
    confidence: Confidence = False,
    batch: Batch = 1,
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Find faces and their points; draw them and write them as annotations.

    OUT takes annotations.json (or what --to needs), drawn/NAME_faces.jpg, and of each video NAME an
    MP4 with the points drawn, NAME_faces.mp4, and a row per frame and face, NAME_faces.csv. A run that was
    killed goes on when it is started again in the same way.

    Coordinates of pictures that EXIF turns are in the frame of the format (docs/formats.md). Exit code 0: all
    was read. 2: a picture or video could not be read; the others were. 1: no face in any of them.

    Example: flmd predict photos/ --model data/model/best.pt -o out
    """
    wanted = Wanted(
        out, to, numbers, drawn, images.value, exif, every, smooth, partial, overwrite, pose, batch
    )
    ways = {
        "second_look": second_look,
        "flip_average": flip_average,
        "confidence": confidence,
        "resample": resample.value,
    }
    _run(paths, model, detector, device, ways, wanted, as_json=as_json)


def _run(
    paths: list[str],
    model: Path,
    detector: str,
    device: str,
    ways: dict[str, Any],
    wanted: Wanted,
    *,
    as_json: bool,
) -> None:
    """All pictures and videos of a run; ``ways``: how the model is used, as for ``flmd.load``."""
    if wanted.out.exists() and not wanted.out.is_dir():
        raise ParamsError("is a file", where=str(wanted.out), expected="a folder for the results")
    import flmd
    from flmd import formats
    from flmd.inference import detection
    from flmd.inference.video.sources import open_sources

    fmt = formats.get(wanted.to)
    with open_sources(paths, without=wanted.out) as sources:
        landmarker = flmd.load(_model(model), device, **ways)
        _warn_of_drawn_faces(landmarker.info.made_from, model)
        run = Run(landmarker, detection.get(detector), sources, wanted)
        record = {} if as_json else _record(model, detector, device, ways)
        faces = run.printed() if as_json else run.written(fmt, record)
    if sources.ignored:
        terminal.say(f"passed over: {sources.ignored} files that are neither pictures nor videos", err=True)
    if run.bad:
        raise typer.Exit(2)
    if not faces:
        terminal.say("no face was found", err=True)
        raise typer.Exit(1)


def _record(model: Path, detector: str, device: str, ways: dict[str, Any]) -> dict[str, Any]:
    """What decides the results beside the options: files by their digests, packages by their versions."""
    from importlib.metadata import version

    from flmd.core._version import __version__
    from flmd.core.provenance import sha256_of

    record = {"model": sha256_of(model), "--detector": detector, "--device": device, "flmd": __version__}
    file = Path(detector.partition(":")[2] or detector)
    if file.is_file():
        record["file of --detector"] = sha256_of(file)
    for package in ("torch", "numpy", "opencv-python-headless", "onnxruntime"):
        with suppress(ImportError):
            record[package] = version(package)
    return {**record, **{f"--{name.replace('_', '-')}": value for name, value in ways.items()}}


def camera_command(
    camera: Annotated[int, typer.Option("--device", help="Number of the camera, from 0.", min=0)] = 0,
    model: Model = MODEL,
    detector: DetectorName = "haar",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write an MP4 instead of opening a window.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.", min=0.1)] = None,
    numbers: Numbers = False,
    every: Every = 8,
    smooth: Smooth = True,
    resample: ResampleName = Resample.STORE,
    overwrite: Annotated[bool, typer.Option(help="Replace OUT.")] = False,
) -> None:
    """Show the points on what a camera sees, in a window; escape or q ends it.

    Without a display, --out FILE.mp4 writes the video (interrupt to end it), or use the web page, `flmd app`.

    Example: flmd camera --model data/model/best.pt
    """
    import flmd
    from flmd.inference import detection
    from flmd.inference.video.camera import open_camera, window
    from flmd.inference.video.tracking import FaceTracker
    from flmd.inference.video.video_faces import predict_video

    if out is not None and out.suffix.lower() != ".mp4":
        raise ParamsError(f"--out is {out}", expected="a name ending in .mp4")
    if out is not None:
        check_free(out, overwrite)
    with ExitStack() as stack:
        reader = stack.enter_context(open_camera(camera))
        show = stack.enter_context(window(f"flmd camera {camera}")) if out is None else (lambda frame: True)
        landmarker = flmd.load(_model(model), "auto", resample=resample.value)
        tracker = FaceTracker(landmarker, detection.get(detector), every=every, smooth=smooth)
        done = predict_video(reader, tracker, video=out, numbers=numbers, show=show, most_seconds=seconds)
    where = f"{out}: " if out else ""
    terminal.say(f"{where}{done.frames} frames, {done.tracks} faces, {done.fps:.1f} frames a second")


def _model(path: Path) -> Path:
    if not path.is_file():
        hint = "name one with --model; `dvc repro` makes data/model/best.pt" if path == MODEL else None
        raise InputError("no such model", where=str(path), hint=hint)
    return path


def _warn_of_drawn_faces(record: Mapping[str, Any], model: Path) -> None:
    """One line when a model has learnt from the built-in sample alone."""
    from flmd.core import provenance

    origins = provenance.origins(record)
    if origins and all(kind == "sample" for kind in origins.values()):
        terminal.say(
            f"warning: {model} has learnt from drawn faces only (source: sample); on photographs its "
            "points are of no use",
            err=True,
        )
