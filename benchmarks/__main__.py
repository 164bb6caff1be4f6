"""``python -m benchmarks``: measures flmd beside its peers and writes docs/performance.md."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import inputs
from benchmarks.measure import ROOT, Contender, race, run

PAGE = ROOT / "docs" / "performance.md"
RAM_DISK = Path("/dev/shm")
VERSIONS = 8  # as in params.yaml
FEWEST = 64  # faces of the run that shows what starting up takes


@dataclass(frozen=True)
class Plan:
    """How much is measured, and where its files lie."""

    folder: Path
    memory: Path  # a RAM disk, where there is one
    rounds: int
    copies: int  # of each large picture
    faces: int  # of the augment and batch measurements
    sizes: tuple[int, ...]  # of the scaling measurement
    annotations: int  # faces of each text format
    lists: tuple[int, ...]  # faces of the growing list


def ingest(plan: Plan) -> list[str]:
    origin, count = inputs.large_pictures(plan.folder / "large", plan.copies)
    folder = {"folder": plan.folder / "large"}
    target = {"target": plan.folder / "ingest.h5"}
    ours = Contender("flmd convert, 2 processes", "ingest:flmd", {**folder, **target})
    peers = [
        Contender("cv2: imread, slice, resize", "ingest:opencv", folder),
        Contender("albumentations: imread, Compose(Crop, Resize)", "ingest:albumentations", folder),
        Contender("cv2, two processes (for context)", "ingest:opencv", {**folder, "processes": 2}),
    ]
    others = race([ours, *peers], plan.rounds)
    return [
        "## Ingest",
        "",
        f"The pictures are {origin}: {count // plan.copies} files under {count} names. They become 256 px "
        "RGB context crops. flmd's time is everything that a user waits for: reading the XML, starting the "
        "worker processes, hashing the files, looking for duplicates, writing the store to the disk (fsync). "
        "The peers read the same XML and keep their crops in memory. "
        "For all, the imports of the main process are left out.",
        "",
        *table(ours, peers, "faces/s", [1.9, 1.4], others, cpu=True),
    ]


def augment(plan: Plan) -> list[str]:
    lines = [
        "## Augment stage",
        "",
        f"{plan.faces} faces of a store become {VERSIONS} versions each, the first of them plain, from file "
        "to file. flmd's time includes starting its two worker processes and writing the training arrays. "
        "The peer is one loop of a Compose (Affine, CenterCrop, HorizontalFlip, ColorJitter, keypoints) that "
        "writes its images and points to a file; its imports are left out. "
        f"Both write to {plan.memory.parent}, so that no disk sets the pace. "
        "The first table has the sizes and colours of params.yaml. albumentations turns hue in HSV and "
        "changes one thing after the other, flmd has one matrix of colours.",
        "",
    ]
    for stored, color, context, size, changes, target in (
        ("rgb", "grey", 160, 64, inputs.COLOR_LIMITS, 4.0),  # the sizes and colours of params.yaml
        ("grey", "grey", 256, 224, {}, 4.5),
        ("rgb", "grey", 256, 224, inputs.COLOR_LIMITS, 4.0),
        ("rgb", "rgb", 256, 224, inputs.COLOR_LIMITS, 3.0),
    ):
        what = (
            f"{context} px {stored} to {size} px {color}; {', '.join(['brightness', 'contrast', *changes])}"
        )
        limits = {**inputs.LIMITS, **changes, "input_size": size, "color": color, "variants": VERSIONS}
        common = {"source": _store(plan, stored, context), "limits": limits}
        ours = Contender(
            "flmd augment, 2 processes", "augment:flmd", {**common, "target": plan.memory / "arrays.h5"}
        )
        peer = Contender(
            "albumentations, one loop",
            "augment:albumentations",
            {**common, "target": plan.memory / "arrays.bin"},
        )
        print(f" {what}", flush=True)
        others = race([ours, peer], plan.rounds)
        lines += [f"### {what}", "", *table(ours, [peer], "crops/s", [target], others, cpu=True)]
        for path in plan.memory.glob("arrays.*"):
            path.unlink()
    return lines


def batches(plan: Plan) -> list[str]:
    lines = [
        "## Batches with augmentation",
        "",
        "A batch is 64 x C x 224 x 224 float32, normalised, from 256 px context crops. Three epochs are "
        "timed, after one that warms up. The consumer does nothing with a batch. Where workers send uint8, "
        "the consumer makes floats of whole batches, which is faster than sending floats.",
        "",
    ]
    for stored, color, changes, targets, what in (
        ("grey", "grey", {}, [3.0, 3.5], "Grey in, grey out; brightness, contrast"),
        (
            "rgb",
            "rgb",
            inputs.COLOR_LIMITS,
            [5.0, 3.5, 4.0],
            "RGB in, RGB out; brightness, contrast, saturation, hue",
        ),
    ):
        limits = {**inputs.LIMITS, **changes, "input_size": 224, "color": color, "variants": 1}
        common = {"source": _store(plan, stored, 256), "limits": limits}
        chunks = plan.folder / f"chunks-{stored}"
        made = {"source": common["source"], "target": chunks}
        run(Contender("litdata's chunks", "inputs:litdata_chunks", made))
        ours = Contender("flmd BatchLoader, live, 2 threads", "batches:flmd", common)
        peers = [
            Contender(
                "albumentations with Normalize, ToTensorV2, DataLoader, 2 workers",
                "batches:albumentations",
                {**common, "floats": True},
            ),
            Contender("litdata, uint8 sent, 2 workers", "batches:litdata", {**common, "chunks": chunks}),
            Contender(
                "albumentations, uint8 sent, DataLoader, 2 workers (tuned)",
                "batches:albumentations",
                {**common, "floats": False},
            ),
        ]
        print(f" {what}")
        others = race([ours, *peers], plan.rounds)
        lines += [f"### {what}", "", *table(ours, peers, "images/s", targets, others)]
    return lines


def precomputed(plan: Plan) -> list[str]:
    from flmd.augmentation import build
    from flmd.core.params import AugmentParams
    from flmd.store.face_store import FaceStore

    target = plan.folder / "precomputed.h5"
    limits = AugmentParams.model_validate(
        {**inputs.LIMITS, "input_size": 224, "variants": 4, "color": "grey"}
    )
    with FaceStore(_store(plan, "grey", 256)) as store:
        build.build(store, target, limits, seed=1, made_from={})
    where = {"arrays": target}
    ours = Contender("flmd BatchLoader, stored, uint8", "batches:precomputed", {**where, "normalise": False})
    peers = [
        Contender("flmd BatchLoader, stored, float32", "batches:precomputed", {**where, "normalise": True}),
        Contender("h5py, sorted fancy indexing, uint8", "batches:h5py_gather", where),
        Contender("DataLoader over the memory map, uint8, 2 workers", "batches:memmap_loader", where),
    ]
    others = race([ours, *peers], plan.rounds)
    reached = " and ".join(
        f"{c.rate:,.0f} ({kind}: {'reached' if c.rate >= 35_000 else 'not reached'})"
        for c, kind in (
            (ours, "gathered as uint8"),
            (peers[0], "gathered and turned into normalised float32"),
        )
    )
    return [
        "## Precomputed batches",
        "",
        "Shuffled batches of 64 x 1 x 224 x 224 come from training arrays in the page cache. Three warm "
        "epochs are timed. The whole process has one core; the DataLoader has both.",
        "",
        *table(ours, peers, "images/s", [], others),
        f"Target: 35,000 images/s a core. Measured: {reached}.",
        "",
    ]


def scaling(plan: Plan) -> list[str]:
    lines = [
        "## From a thousand faces to sixty-four thousand",
        "",
        f"Ingest makes 96 px RGB crops of 640 x 480 JPEGs. Augment makes {VERSIONS} versions of each crop, "
        "64 px grey, with changes of colour. The time of a run over 64 faces is subtracted, and so are those "
        "faces: what is left is without the start-up of workers.",
        "",
        "| stage | faces | wall, ms a face | CPU, ms a face | peak memory, MiB |",
        "|---|---:|---:|---:|---:|",
    ]
    limits = {**inputs.LIMITS, **inputs.COLOR_LIMITS, "input_size": 64, "color": "grey", "variants": VERSIONS}
    verdicts = []
    for stage in ("ingest", "augment"):
        runs = []
        for faces in (FEWEST, *plan.sizes):
            folder = plan.folder / f"{stage}-{faces}"
            if stage == "ingest":
                inputs.small_pictures(folder, faces)
                arguments = {"folder": folder, "target": plan.folder / "scale.h5", "size": 96}
            else:
                folder.mkdir()
                inputs.face_store(folder / "faces.h5", faces, "rgb", 96)
                arguments = {
                    "source": folder / "faces.h5",
                    "target": plan.folder / "scale.h5",
                    "limits": limits,
                }
            runs.append(Contender(f"{stage} {faces}", f"{stage}:flmd", arguments))
        # Short runs more often: start-up varies by as much as a thousand faces take.
        others = race([*runs[:3] * 3, *runs[3:]], plan.rounds)
        for faces in (FEWEST, *plan.sizes):
            shutil.rmtree(plan.folder / f"{stage}-{faces}")
        start, *sized = runs
        wall, cpu = [], []
        for contender, faces in zip(sized, plan.sizes, strict=True):
            wall.append((contender.median - start.median) / (faces - FEWEST) * 1000)
            cpu.append((min(contender.work_cpu) - min(start.work_cpu)) / (faces - FEWEST) * 1000)
            lines.append(
                f"| {stage} | {faces:,} | {wall[-1]:.3f} | {cpu[-1]:.3f} | {contender.peak / 2**20:.0f} |"
            )
        verdicts.append(
            f"{stage}: wall {_range(wall)}, CPU {_range(cpu)} between the cheapest and the dearest size, "
            f"start-up {start.median:.2f} s, peak memory {max(c.peak for c in sized) / 2**20:.0f} MiB; "
            f"other work took {others:.0%} of the machine meanwhile"
        )
    return [
        *lines, "", *(f"- {v}" for v in verdicts), "",
        "Target: within 15 % from 1,000 to 64,000 faces, under 1,024 MiB with all children.", "",
    ]  # fmt: skip


def _range(values: list[float]) -> str:
    return f"{(max(values) / min(values) - 1) * 100:.0f} %"


def table(
    ours: Contender,
    peers: list[Contender],
    unit: str,
    targets: list[float],
    others: float,
    *,
    cpu: bool = False,
) -> list[str]:
    """A row for each contender; how many times as fast ours is, and whether that is the target."""
    rows = [["contender", unit, "spread", "flmd is", "target", "peak, MiB"], ["---", *["---:"] * 5]]
    for number, one in enumerate([ours, *peers]):
        times = ours.rate / one.rate
        target = targets[number - 1] if 0 < number <= len(targets) else None
        verdict = f"{target:g}x, {'reached' if times >= target else 'not reached'}" if target else ""
        faster = f"{times:.2f}x" if number else ""
        rows.append([one.label, f"{one.rate:,.0f}", f"± {one.spread:.0%}", faster, verdict, _mebibytes(one)])
    if cpu:
        each = ["CPU, ms each", "---:", *(f"{one.cpu_each * 1000:.3f}" for one in [ours, *peers])]
        for row, cell in zip(rows, each, strict=True):
            row.append(cell)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [*lines, "", f"Other work took {others:.0%} of the machine meanwhile.", ""]


def _mebibytes(contender: Contender) -> str:
    return f"{contender.peak / 2**20:.0f}"


def _store(plan: Plan, color: str, size: int) -> Path:
    path = plan.folder / f"faces-{color}-{size}.h5"
    if not path.exists():
        inputs.face_store(path, plan.faces, color, size)
    return path


TEXT_FORMATS = (
    "dlib-xml", "youtube-faces-csv", "csv", "pts", "ljson", "wflw", "celeba", "lapa", "mtcnn",
    "coco", "spiga-json", "label-studio", "cvat", "yolo-pose",
)  # fmt: skip
PEERS = ROOT / ".venv-peers" / "bin" / "python"


def annotation_files(plan: Plan) -> list[str]:
    rows = []
    target = plan.folder / "annotations.h5"
    print(f" {plan.annotations} faces of each format", flush=True)
    coco: list[str] = []
    for name in TEXT_FORMATS:
        folder = plan.folder / f"annotations-{name}"
        run(Contender(f"write {name}", "annotations:make", _made(folder, name, plan.annotations)))
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and p.suffix != ".png")
        ours = Contender(
            f"flmd, {name}", "annotations:flmd", {"folder": folder, "target": target, "fmt": name}
        )
        others = race([ours], 1)
        rows.append(
            f"| {name} | {size / 2**20:,.0f} | {ours.rate:,.0f} | {ours.peak / 2**20:.0f} | {others:.0%} |"
        )
        if name == "coco":
            coco = _coco_peers(plan, folder, ours)
        if name == "dlib-xml":
            list_ = next(folder.glob("*.xml"))
            tree = Contender("ElementTree.parse, a loop", "annotations:element_tree", {"file": list_})
            xml = table(ours, [tree], "faces/s", [], race([ours, tree], plan.rounds), cpu=True)
        shutil.rmtree(folder)
    return [
        "## Annotations",
        "",
        f"{plan.annotations:,} drawn faces without pictures go from each text format to a store on the "
        "disk (`--images none`), in one process. One run each.",
        "",
        "| format | MiB | faces/s | peak, MiB | other work |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
        "Target: under 700 MiB.",
        "",
        "### dlib XML",
        "",
        "The peer keeps its arrays in memory and checks nothing. flmd's time includes writing the store.",
        "",
        *xml,
        "### COCO keypoints",
        "",
        "The peers keep their arrays in memory. flmd's time includes writing the store.",
        "",
        *coco,
        *_linear(plan, target),
    ]


def _made(folder: Path, name: str, faces: int) -> dict[str, object]:
    return {"folder": folder, "fmt": name, "faces": faces}


def _coco_peers(plan: Plan, folder: Path, ours: Contender) -> list[str]:
    list_ = next(folder.glob("*.json"))
    peers = [Contender("json.load, a loop", "annotations:json_load", {"file": list_})]
    if PEERS.exists():  # as datumaro wants a data set to lie
        own = plan.folder / "datumaro"
        (own / "annotations").mkdir(parents=True)
        (own / "images" / "train").mkdir(parents=True)  # it looks for the pictures of the list there
        (own / "annotations" / "person_keypoints_train.json").symlink_to(list_)
        peers.append(Contender("datumaro", "annotations:datumaro", {"folder": own}, str(PEERS)))
    return table(ours, peers, "faces/s", [], race([ours, *peers], plan.rounds), cpu=True)


def _linear(plan: Plan, target: Path) -> list[str]:
    """The time of one face, from a thousand to a million of them."""
    rows, each = [], []
    start = 0.0
    for faces in (FEWEST, *plan.lists):
        folder = plan.folder / f"list-{faces}"
        run(Contender("write", "annotations:make", _made(folder, "dlib-xml", faces)))
        ours = Contender(
            f"dlib-xml {faces:,}",
            "annotations:flmd",
            {"folder": folder, "target": target, "fmt": "dlib-xml"},
        )
        race([ours], 5 if faces <= 1000 else plan.rounds if faces <= 10_000 else 1)
        shutil.rmtree(folder)
        if faces == FEWEST:
            start = min(ours.work_cpu)
            continue
        each.append((min(ours.work_cpu) - start) / (faces - FEWEST) * 1000)
        rows.append(
            f"| {faces:,} | {ours.median:.2f} | {ours.rate:,.0f} | {each[-1]:.3f} | {ours.peak / 2**20:.0f} |"
        )
    return [
        "### From a thousand to a million faces in dlib XML",
        "",
        f"CPU time a face is without that of a run over {FEWEST} faces.",
        "",
        "| faces | wall, s | faces/s | CPU, ms a face | peak, MiB |",
        "|---:|---:|---:|---:|---:|",
        *rows,
        "",
        f"CPU time a face: {_range(each)} between the cheapest and the dearest size.",
        "",
    ]


HEADING = """# Performance

`make bench` writes this page. Every run is a fresh process, and the contenders take turns.

- A number is the median of a contender's runs; the spread is half their range.
- Memory is anonymous and shared memory (RssAnon + RssShmem): the highest sum over a process and all its
  children, imports included.
- CPU time is that of all processes, from the start of the clock on, in the cheapest run. Other work on the
  machine disturbs that least.
- The last line of a section says what it was measured on.
"""


def conditions(plan: Plan) -> str:
    """The last line of a section."""
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    packages = ("opencv-python-headless", "albumentations", "torch", "litdata", "simplejpeg", "numpy", "h5py")
    return (
        f"Runs of each contender: {plan.rounds}, unless a section says otherwise. "
        f"{len(os.sched_getaffinity(0))} cores ({cpu}), Python {platform.python_version()}, "
        + ", ".join(f"{name} {_version(name)}" for name in packages)
        + "."
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


PARTS: dict[str, Callable[[Plan], list[str]]] = {
    "ingest": ingest,
    "augment": augment,
    "batches": batches,
    "precomputed": precomputed,
    "scaling": scaling,
    "annotations": annotation_files,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small round, printed and not kept")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=list(PARTS),
        help="these parts; the others of the page stay",
    )
    parser.add_argument("--rounds", type=int, help="runs of each contender")
    parser.add_argument(
        "--folder", type=Path, help="where to put files (6 GB); the system's folder by default"
    )
    chosen = parser.parse_args()
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="flmd-bench-", dir=chosen.folder))
        ram = RAM_DISK if RAM_DISK.is_dir() else chosen.folder
        memory = stack.enter_context(tempfile.TemporaryDirectory(prefix="flmd-bench-", dir=ram))
        plan = Plan(
            Path(folder),
            Path(memory),
            rounds=chosen.rounds or (1 if chosen.quick else 3),
            copies=4 if chosen.quick else 12,
            faces=1000 if chosen.quick else 3000,
            sizes=(1000, 4000) if chosen.quick else (1000, 4000, 16000, 64000),
            annotations=2000 if chosen.quick else 100_000,
            lists=(1000, 4000) if chosen.quick else (1000, 10_000, 100_000, 1_000_000),
        )
        last = conditions(plan)
        parts = {}
        for name in chosen.only:
            print(name, flush=True)
            parts[name] = "\n".join(PARTS[name](plan)).rstrip() + f"\n\n{last}\n"
    print("\n".join([HEADING, *parts.values()]))
    if not chosen.quick:
        old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(_page(parts, old), encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")


def _page(parts: dict[str, str], old: str) -> str:
    """The page with these parts new, and the others as they were."""
    sections = {text.split("\n", 1)[0]: text for text in re.split(r"^(?=## )", old, flags=re.MULTILINE)[1:]}
    for text in parts.values():
        title = text.split("\n", 1)[0]
        sections[title] = text + "\n"
    return "\n".join([HEADING, *(text.rstrip() + "\n" for text in sections.values())])


if __name__ == "__main__":
    main()
