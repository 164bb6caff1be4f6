"""Sections of numbers: headline, metrics, curves, error distribution, regions, galleries."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from flmd.experiments.gate import Limit, Verdict, higher_is_better, judge
from flmd.experiments.report_page import charts
from flmd.experiments.report_page.charts import BASE, DIM, NOW, Line
from flmd.experiments.report_page.evidence import Evidence
from flmd.experiments.report_page.parts import Card, Cards, Chart, Folded, Picture, Section, Table, Tile
from flmd.experiments.revision_files import finite

T = TypeVar("T", bound=Hashable)
NOTHING_WORSE = Limit(Decimal(0), False)
DRAWN_HERE = {"loss": "curves", "ced": "ced", "regions": "regions"}  # picture -> its numbers


def headline(now: Evidence, base: Evidence | None) -> list[Tile]:
    """A tile for each data set: its NME, and how that compares."""
    tiles = []
    for dataset in _of_both(now, base, lambda side: side.datasets):
        name = f"{dataset}.nme"
        value = now.metrics.get(name)
        shown = f"{100 * value:.2f} %" if finite(value) else "no number"
        says, colour = f"NME of {dataset}", ""
        if base is not None:
            verdict = compare(name, now, base)
            says += f"; {verdict.change} to {base.name}, {word(verdict)}"
            colour = word(verdict) if word(verdict) in ("better", "worse") else ""
        tiles.append(Tile(shown, says, colour))
    return tiles


def metrics(now: Evidence, base: Evidence | None) -> Section:
    """The table of metrics, the finer ones folded."""
    unit = now.settings.get("normaliser")
    about = "Errors are fractions of the normaliser" + (f", here {unit}: 0.05 is 5 %." if unit else ".")
    if not now.metrics:
        return Section("Metrics", "There are none: `dvc repro` measures the model.")
    names = list(dict.fromkeys([*now.metrics, *(base.metrics if base else ())]))
    first = [name for name in names if _is_headline(name)]
    rest = [name for name in names if name not in first]
    finer = f"{len(rest)} finer metrics: by pose, size, region and normaliser; counts of faces"
    folded = Folded(finer, _metrics_table(rest, now, base))
    return Section("Metrics", about, [Card([_metrics_table(first, now, base), folded])])


def compare(name: str, now: Evidence, base: Evidence) -> Verdict:
    """One metric of both."""
    return judge(name, base.metrics, now.metrics, NOTHING_WORSE, higher=bool(higher_is_better(name)))


def word(verdict: Verdict) -> str:
    """Better, worse, same, or what is missing; only "differs" where the name does not say what is better."""
    if not (finite(verdict.baseline) and finite(verdict.now)):
        return verdict.says.lower()
    if higher_is_better(verdict.metric) is None and verdict.says != "same":
        return "differs"
    return "worse" if verdict.says == "REGRESSION" else verdict.says


def _is_headline(name: str) -> bool:
    part, _, last = name.rpartition(".")
    bucket = part.rpartition(".")[2]
    return last.rstrip("0123456789") in ("nme", "auc", "fr") and not bucket.startswith(("pose_", "size_"))


def _metrics_table(names: Sequence[str], now: Evidence, base: Evidence | None) -> Table:
    if base is None:
        return Table(["metric", "now"], [[name, plain(now.metrics[name])] for name in names], numbers=[1])
    rows = []
    for name in names:
        verdict = compare(name, now, base)
        cells = [plain(side.metrics[name]) if name in side.metrics else "-" for side in (base, now)]
        rows.append([name, *cells, verdict.change, word(verdict)])
    return Table(["metric", base.name, "now", "change", ""], rows, numbers=[1, 2, 3])


def plain(value: Any) -> str:
    """A value as text: numbers to six figures."""
    return f"{value:.6g}" if finite(value) else str(value)


def curves(now: Evidence, base: Evidence | None) -> Section:
    """Loss, validation error and learning rate over the epochs, both experiments in one chart each."""
    panels = [
        ("Loss", ("train_loss", "val_loss"), "loss", True),
        ("Validation error", ("val_error_px",), "mean distance, input px", False),
        ("Learning rate", ("lr",), "learning rate", False),
    ]
    known = {name for _, names, _, _ in panels for name in names}
    others = _of_both(now, base, lambda side: sorted(side.curves))
    panels += [(name, (name,), name, False) for name in others if name not in known]
    made = []
    for title, names, label, log in panels:
        drawn = []
        for side, colour, who in _sides(now, base):
            for name in names:
                values = side.curves.get(name, [])
                style = "--" if name.startswith("val_") and len(names) > 1 else "-"
                label_of = f"{who}, {name.partition('_')[0]}" if len(names) > 1 else who
                if any(map(math.isfinite, values)):
                    drawn.append(Line(label_of, range(1, len(values) + 1), values, colour, style))
        if drawn:
            made.append(Card([Chart(charts.lines(title, drawn, x="epoch", y=label, log=log))], title))
    about = "Training is solid, validation dashed where both are drawn."
    if not made:
        return Section("Training curves", "There are none.")
    return Section("Training curves", about, [Cards(made)])


def error_distribution(now: Evidence, base: Evidence | None) -> Section:
    """A CED for each data set, both experiments and the mean shape."""
    threshold = now.settings.get("threshold")
    made = []
    for name in _of_both(now, base, lambda side: side.ced):
        if name == "threshold" or name.endswith("_mean_shape"):
            continue
        drawn = [
            Line(who, side.ced.get("threshold", []), side.ced[name], colour)
            for side, colour, who in _sides(now, base)
            if any(map(math.isfinite, side.ced.get(name, ()))) and "threshold" in side.ced
        ]
        source = now if name in now.ced or base is None else base
        mean = source.ced.get(f"{name}_mean_shape", [])
        if drawn and any(map(math.isfinite, mean)):
            drawn.append(Line("mean shape", source.ced["threshold"], mean, DIM, "--"))
        if drawn:
            mark = threshold if finite(threshold) else None
            svg = charts.lines(f"CED {name}", drawn, x="NME", y="faces at or below", percent=True, mark=mark)
            made.append(Card([Chart(svg)], name))
    about = (
        "The share of test faces whose error is at or below a limit; the dotted line is that of AUC and FR."
    )
    return Section("Error distribution (CED)", about if made else "There is none.", [Cards(made)])


def regions(now: Evidence, base: Evidence | None) -> Section:
    """Bars of the error of each region."""
    made = []
    tables = [(_region_errors(side), colour, who) for side, colour, who in _sides(now, base)]
    both = _of_both(now, base, _region_errors)
    for dataset in dict.fromkeys(dataset for dataset, _ in both):
        names = [region for name, region in both if name == dataset]
        series = [
            (who, [errors.get((dataset, region), math.nan) for region in names], colour)
            for errors, colour, who in tables
            if any(name == dataset for name, _ in errors)
        ]
        svg = charts.bars(f"Regions {dataset}", [n.replace("_", " ") for n in names], series, x="NME")
        made.append(Card([Chart(svg)], dataset))
    about = "The error of the points of each region, by the same normaliser."
    return Section("Error by region", about if made else "There is none.", [Cards(made)])


def galleries(now: Evidence, base: Evidence | None) -> Section:
    """The pictures of reports/plots that are not drawn from their numbers above; the baseline's beside."""
    names = _of_both(now, base, lambda side: side.pictures)
    made = []
    for name in sorted(names, key=lambda name: (name not in ("worst", "random"), name != "worst", name)):
        if name in DRAWN_HERE and getattr(now, DRAWN_HERE[name]):
            continue
        made.append(Cards([Card([picture]) for picture in _pictures(name, now, base)], wide=True))
    about = "Faces with their true and predicted points; the number is the face's error."
    return Section("Galleries", about if made else "There are none.", made)


def _pictures(name: str, now: Evidence, base: Evidence | None) -> list[Picture]:
    """One picture of both sides; once when it is the same."""
    here, there = now.pictures.get(name), base.pictures.get(name) if base else None
    if base is not None and here is not None and here == there:
        return [Picture(here, f"{name}, both", f"{name}: the same in {base.name}")]
    found = [] if here is None else [Picture(here, f"{name}, now", f"{name}: now")]
    if base is not None and there is not None:
        found.append(Picture(there, f"{name}, baseline", f"{name}: {base.name}"))
    return found


def _of_both(now: Evidence, base: Evidence | None, names: Callable[[Evidence], Iterable[T]]) -> list[T]:
    """What either side has, each once, that of now first."""
    return list(dict.fromkeys([*names(now), *(names(base) if base else ())]))


def _region_errors(side: Evidence) -> dict[tuple[str, str], float]:
    columns = [side.regions.get(name, []) for name in ("dataset", "region", "nme")]
    found = {}
    for dataset, region, error in zip(*columns, strict=False):
        try:
            found[dataset, region] = float(error)
        except ValueError:
            found[dataset, region] = math.nan
    return found


def _sides(now: Evidence, base: Evidence | None) -> Iterable[tuple[Evidence, str, str]]:
    """The baseline first: what is drawn later lies on top."""
    if base is not None:
        yield base, BASE, base.name
    yield now, NOW, "now"
