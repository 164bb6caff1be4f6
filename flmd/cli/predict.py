"""`flmd predict` and `flmd camera`: a model on pictures, videos and what a camera sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flmd.cli.choices import PicturesBeside, Resample
from flmd.cli.common import check_free
from flmd.core import terminal
from flmd.errors import FlmdError, InputError, ParamsError

if TYPE_CHECKING:
    from flmd.face import Face
    from flmd.formats import Format
    from flmd.inference.detection import Detector
    from flmd.inference.landmarker import Landmarker
    from flmd.inference.video.pictures import PictureReport
    from flmd.inference.video.sources import Sources
    from flmd.schemes.mapping import SchemeMapping

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
AsJson = Annotated[
    bool, typer.Option("--json", help="Print a line of JSON for each picture, and write no files.")
]


@dataclass(frozen=True)
class _Wanted:
    """The options of one run."""

    out: Path
    to: str
    numbers: bool
    drawn: bool
    images: str
    exif: bool
    every: int
    smooth: bool
    partial: bool
    overwrite: bool
    pose: bool
    as_json: bool


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
    as_json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Find faces and their points; draw them and write them as annotations.

    OUT takes annotations.json (or what --to needs), drawn/NAME_faces.jpg, and of each video NAME an
    MP4 with the points drawn, NAME_faces.mp4, and a row per frame and face, NAME_faces.csv.

    Coordinates of pictures that EXIF turns are in the frame of the format (docs/formats.md). Exit code 0: all
    was read. 2: a picture or video could not be read; the others were. 1: no face in any of them.

    Example: flmd predict photos/ --model data/model/best.pt -o out
    """
    wanted = _Wanted(out, to, numbers, drawn, images, exif, every, smooth, partial, overwrite, pose, as_json)
    ways = {"second_look": second_look, "flip_average": flip_average, "resample": resample.value}
    _run(paths, model, detector, device, ways, wanted)


def _run(
    paths: list[str], model: Path, detector: str, device: str, ways: dict[str, Any], wanted: _Wanted
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
        find = detection.get(detector)
        bad: list[str] = []
        if wanted.as_json:
            faces = _print(landmarker, find, sources, wanted, bad)
        else:
            mapping = _mapping(landmarker, fmt, wanted.partial)
            targets, faces = _targets(sources, fmt, wanted), 0
            if sources.pictures:
                faces += _pictures(landmarker, find, sources, fmt, mapping, targets.annotations, wanted, bad)
            for name, stem in targets.videos.items():
                faces += _video(landmarker, find, sources, name, stem, wanted, bad)
    if sources.ignored:
        terminal.say(f"passed over: {sources.ignored} files that are neither pictures nor videos", err=True)
    if bad:
        raise typer.Exit(2)
    if not faces:
        terminal.say("no face was found", err=True)
        raise typer.Exit(1)


def _print(landmarker: Landmarker, find: Detector, sources: Sources, wanted: _Wanted, bad: list[str]) -> int:
    """A line of JSON for each picture, flushed at once; returns how many faces."""
    import json

    from flmd.formats.common.json_lists import shortest
    from flmd.inference.video.pictures import PictureReport, PictureRun

    if sources.videos:
        raise ParamsError(
            f"--json, but {sources.videos[0]} is a video", hint="leave --json out: videos have tables"
        )
    report = PictureReport()
    run = PictureRun(
        landmarker, find, exif=wanted.exif, pose=wanted.pose, complain=lambda line: _complain(line, bad)
    )
    for name, faces in run.each(sources.tree, sources.pictures, report):
        told = [
            {
                "box": [float(number) for number in shortest(face.box)],
                "points": [[float(x), float(y)] for x, y in map(shortest, face.landmarks)],
                **face.attributes,
            }
            for face in faces
            if face.box is not None
        ]
        line = {"image": name, "scheme": landmarker.scheme.name, "faces": told}
        print(json.dumps(line, ensure_ascii=True), flush=True)
    return report.faces


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


@dataclass(frozen=True)
class _Targets:
    """Where results go: the annotations, and of each video the name without ending."""

    annotations: Path
    videos: dict[str, str]


def _targets(sources: Sources, fmt: Format, wanted: _Wanted) -> _Targets:
    """ParamsError when something is there already."""
    stems = Counter(str(PurePosixPath(name).with_suffix("")) for name in sources.videos)
    videos = {}
    for name in sources.videos:
        stem = str(PurePosixPath(name).with_suffix(""))
        videos[name] = f"{stem if stems[stem] == 1 else name}_faces"
    targets = _Targets(wanted.out / f"annotations{fmt.suffix}", videos)
    written = [targets.annotations, wanted.out / "drawn"] if sources.pictures else []
    written += [wanted.out / f"{stem}{end}" for stem in videos.values() for end in (".mp4", ".csv")]
    for path in written:
        if path.exists() and not wanted.overwrite:
            raise ParamsError("exists already", where=str(path), hint="add --overwrite to replace it")
    return targets


def _pictures(
    landmarker: Landmarker,
    find: Detector,
    sources: Sources,
    fmt: Format,
    mapping: SchemeMapping | None,
    target: Path,
    wanted: _Wanted,
    bad: list[str],
) -> int:
    """The pictures of a run; returns how many faces were written."""
    from flmd.curation.write_annotations import write_faces
    from flmd.inference.video.pictures import PictureReport, PictureRun

    report = PictureReport()
    run = PictureRun(
        landmarker,
        find,
        exif=wanted.exif,
        drawn=wanted.out / "drawn" if wanted.drawn else None,
        numbers=wanted.numbers,
        pose=wanted.pose,
        complain=lambda line: _complain(line, bad),
    )
    faces: Iterator[Face] = run.faces(sources.tree, sources.pictures, report)
    if mapping is not None:
        faces = map(mapping.face, faces)
    first = next(faces, None)
    if first is not None:
        written = write_faces(
            chain([first], faces),
            fmt,
            target,
            landmarker.scheme if mapping is None else mapping.target,
            pictures=sources.tree,
            images=wanted.images,
            overwrite=wanted.overwrite,
        )
        terminal.say(f"{target}: {written.faces} faces written as {fmt.name}")
        for what, count in sorted(written.lost.items()):
            terminal.say(f"lost: {what}, of {count} faces", err=True)
    _tell(report, wanted)
    return report.faces


def _tell(report: PictureReport, wanted: _Wanted) -> None:
    where = f"{wanted.out / 'drawn'}: " if wanted.drawn and report.pictures else ""
    more = f", {report.without_face} without a face" if report.without_face else ""
    more += f", {len(report.bad)} that cannot be used" if report.bad else ""
    terminal.say(f"{where}{report.pictures} pictures, {report.faces} faces{more}")


def _video(
    landmarker: Landmarker,
    find: Detector,
    sources: Sources,
    name: str,
    stem: str,
    wanted: _Wanted,
    bad: list[str],
) -> int:
    """One video of a run; returns how many faces were written."""
    from flmd.inference.video.tracking import FaceTracker
    from flmd.inference.video.video import open_video
    from flmd.inference.video.video_faces import predict_video

    table = wanted.out / f"{stem}.csv"
    video = wanted.out / f"{stem}.mp4"
    tracker = FaceTracker(landmarker, find, every=wanted.every, smooth=wanted.smooth)
    try:
        with open_video(*sources.tree.member(name)) as reader:
            done = predict_video(
                reader, tracker, video=video if wanted.drawn else None, table=table, numbers=wanted.numbers
            )
    except InputError as error:
        _complain(str(error), bad)
        return 0
    terminal.say(
        f"{video if wanted.drawn else table}: {done.frames} frames, {done.tracks} faces in {done.rows} rows, "
        f"{done.fps:.1f} frames a second"
    )
    if done.broken:
        _complain(done.broken, bad)
    return done.rows


def _complain(line: str, bad: list[str]) -> None:
    from tqdm import tqdm

    bad.append(line)
    tqdm.write(f"bad: {line}", file=typer.get_text_stream("stderr"))


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


def _mapping(landmarker: Landmarker, fmt: Format, partial: bool) -> SchemeMapping | None:
    """To the scheme of a format that has one of its own."""
    from flmd.schemes import get_scheme
    from flmd.schemes.mapping import mapping

    if fmt.scheme is None or fmt.scheme == landmarker.scheme.name:
        return None
    try:
        return mapping(landmarker.scheme, get_scheme(fmt.scheme), partial=partial)
    except FlmdError as error:
        raise ParamsError(f"--to {fmt.name} holds {fmt.scheme}: {error}") from None
