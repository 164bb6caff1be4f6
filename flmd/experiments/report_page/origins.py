"""Sections of what the numbers come from: data, params, versions, digests."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from flmd.experiments.report_page.evidence import Evidence, Flat
from flmd.experiments.report_page.parts import Card, Cards, Folded, Part, Section, Table, Texts
from flmd.experiments.report_page.results import plain

PACKAGES = (
    "flmd",
    "torch",
    "torchvision",
    "numpy",
    "opencv-python-headless",
    "h5py",
    "albumentations",
    "dvc",
)
COUNTS = {
    "faces_read": "faces read",
    "faces_kept": "faces kept",
    "faces_skipped": "faces skipped",
    "subjects": "subjects",
    "points_outside_image.points": "points outside their picture",
    "points_unlabelled": "points without a label",
    "points_hidden": "points labelled as hidden",
    "boxes_reaching_outside_image": "boxes reaching outside their picture",
    "duplicate_pictures.groups": "groups of identical pictures",
    "duplicate_pictures.across_splits": "of these, across splits",
}
LEAKS = ("duplicate_pictures.across_splits",)


def data(now: Evidence) -> Section:
    """The loss report of each data set: kept and skipped by reason, splits, subjects in two splits."""
    about = "What conversion kept of each data set, what it skipped and why, and what the splits share."
    made = [Card(_account(report), name) for name, report in now.audits.items()]
    return Section("Data", about if made else "There are no loss reports.", [Cards(made, wide=True)])


def _account(report: Flat) -> list[Part]:
    rows = [[text, plain(report[key])] for key, text in COUNTS.items() if key in report]
    rows += [
        [f"in split {key.removeprefix('splits.')}", plain(value)] for key, value in _under(report, "splits.")
    ]
    for key, value in _under(report, "subjects_shared."):
        if key.endswith(".count"):
            sides = key.removeprefix("subjects_shared.").removesuffix(".count")
            rows.append([f"subjects in both of {sides}", plain(value)])
    parts: list[Part] = [Table(["", "count"], rows, numbers=[1])]
    leaks = [
        key
        for key in report
        if key in LEAKS or (key.startswith("subjects_shared.") and key.endswith(".count"))
    ]
    if any(report[key] not in (0, None) for key in leaks):
        parts.append(Texts(["The splits share subjects or pictures: test numbers flatter."], bad=True))
    reasons = []
    for key, value in _under(report, "skipped."):
        if key.endswith(".count"):
            reason = key.removeprefix("skipped.").removesuffix(".count")
            first = report.get(f"skipped.{reason}.first")
            shown = "; ".join(map(str, first)) if isinstance(first, list) else ""
            reasons.append([reason.replace("_", " "), plain(value), shown])
    if reasons:
        parts.append(Table(["skipped because", "faces", "the first of them"], reasons, numbers=[1], long=[2]))
    about = [f"{key}: {plain(report[key])}" for key in ("format", "box", "split", "found") if key in report]
    return [*parts, Folded("how it was read", Texts(about))]


def params(now: Evidence, base: Evidence | None) -> Section:
    """Params that differ, and all of them."""
    everything = Table(["param", "now"], [[k, plain(v)] for k, v in now.params.items()], long=[1])
    folded = Folded(f"all {len(now.params)} params", everything)
    if base is None:
        return Section("Params", "Of params.yaml.", [Card([folded])])
    if not (now.params and base.params):
        return Section("Params", "Only one side has a params.yaml.", [Card([folded])])
    names = dict.fromkeys([*base.params, *now.params])
    rows = [
        [name, *(plain(side.params[name]) if name in side.params else "-" for side in (base, now))]
        for name in names
        if _differ(name, base.params, now.params)
    ]
    if not rows:
        return Section("Params", f"The same as {base.name}.", [Card([folded])])
    about = f"{len(rows)} of {len(names)} differ from {base.name}."
    return Section("Params", about, [Card([Table(["param", base.name, "now"], rows, long=[1, 2]), folded])])


def versions() -> Section:
    """The packages of the environment that writes the page."""
    rows = [["python", platform.python_version()]]
    for name in PACKAGES:
        try:
            rows.append([name, metadata.version(name)])
        except metadata.PackageNotFoundError:
            rows.append([name, "not installed"])
    about = "Of the environment that wrote this page; `make setup` installs those of constraints.txt."
    return Section("Versions", about, [Card([Table(["package", "version"], rows)])])


def digests(now: Evidence, base: Evidence | None) -> Section:
    """What the evaluation says it was made from, and the outputs in dvc.lock."""
    record = [[k.removeprefix("made_from."), plain(v)] for k, v in _under(now.settings, "made_from.")]
    made = []
    if record:
        made.append(Card([Table(["", "value"], record, long=[1])], "made from (reports/evaluation.json)"))
    if now.outputs or (base and base.outputs):
        rows = [[path, digest] for path, digest in now.outputs.items()]
        header = ["output", "digest in dvc.lock"]
        if base is not None:
            header.append(base.name)
            rows += [[path, "-"] for path in base.outputs if path not in now.outputs]
            for row in rows:
                old = base.outputs.get(row[0])
                row.append("-" if old is None else "same" if old == row[1] else "differs")
        made.append(Card([Table(header, rows, long=[1])], "outputs"))
    about = "By these a number can be traced to its bytes." if made else "There are none."
    return Section("Digests", about, [Cards(made, wide=True)])


def _under(flat: Flat, prefix: str) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in flat.items() if key.startswith(prefix)]


def _differ(name: str, one: Flat, two: Flat) -> bool:
    return (name in one) != (name in two) or one.get(name) != two.get(name)
