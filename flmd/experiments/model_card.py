"""What is known of a model: from its own record, and from metrics and manifests that lie about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flmd.core import provenance
from flmd.models.checkpoint import ModelInfo
from flmd.models.pretrained import NONE
from flmd.sources.fetch.manifest import official_of

MANIFESTS = Path("data/manifests")
DRAWN = "drawn by flmd's own sample: free of rights, and no photographs"
METRICS = "evaluation.json"


@dataclass(frozen=True)
class Card:
    """A model in a few lines.

    Attributes
    ----------
    file : the model. sha256 : its digest. network : name and options. input : channels, side.
    data : data set -> kind of source ("sample", "official", "own", "" unknown) and how it was split.
        Those that its teacher learned from, or a model that it began with, are among them.
    licences : data set -> a sentence, where one is known.
    learned_from : "teacher", "began with" -> which weights, where there are any.
    metrics : data set -> NME, a fraction, of an evaluation of this very file; empty where none lies about.
    measured_in : the file of those metrics, or "".
    epoch, epochs : which one this is, of how many. command : what made it.
    """

    file: Path
    sha256: str
    network: str
    input: str
    scheme: str
    epoch: int
    epochs: int
    command: str
    data: dict[str, str] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    learned_from: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    measured_in: str = ""


def card_of(path: Path, info: ModelInfo, manifests: Path = MANIFESTS) -> Card:
    """The card of a model file.

    Parameters
    ----------
    manifests : folder of NAME.json, which say under which licence a data set is published that flmd does not
        know.
    """
    record, sha256 = info.made_from, provenance.sha256_of(path)
    train = record.get("params", {}).get("train", {})
    kinds = _data(record)
    metrics, where = _measured(path, sha256)
    channels = "grey" if info.channels == 1 else "colour"
    options = "".join(f", {key} {value}" for key, value in sorted(info.options.items()))
    return Card(
        file=path,
        sha256=sha256,
        network=f"{info.network}{options}",
        input=f"{info.normalisation.input_size} px, {channels}",
        scheme=f"{info.scheme}, {info.points} points",
        epoch=info.epoch,
        epochs=int(train.get("epochs", 0)),
        command=_command(record),
        data=kinds,
        licences=_licences(kinds, manifests),
        learned_from=_learned_from(record),
        metrics=metrics,
        measured_in=where,
    )


def lines(card: Card) -> list[str]:
    """The card for a terminal."""
    told = [
        f"{card.file}",
        f"  sha256    {card.sha256}",
        f"  network   {card.network}",
        f"  input     {card.input}; {card.scheme}",
        f"  epoch     {card.epoch}" + (f" of {card.epochs}" if card.epochs else ""),
        f"  made by   {card.command or 'not recorded'}",
    ]
    told += [f"  {how:<9} {what}" for how, what in card.learned_from.items()]
    told += [f"  data      {name}: {what}" for name, what in card.data.items()]
    told += [f"  licence   {name}: {text}" for name, text in card.licences.items()]
    told += [
        f"  NME       {name}: {100 * nme:.2f} %  ({card.measured_in})" for name, nme in card.metrics.items()
    ]
    if not card.data:
        told.append("  data      not recorded")
    if not card.metrics:
        told.append("  NME       no evaluation of this file lies here")
    return told


def _data(record: Mapping[str, Any]) -> dict[str, str]:
    """Data set -> kind of source and split, from the records of the stage `convert`."""
    kinds = provenance.origins(record)
    train = record.get("params", {}).get("train", {}) if record.get("stage") == "train" else {}
    # What a teacher, or a model that it began with, has learned from is not in its own list.
    chosen = [] if _learned_from(record) else train.get("datasets")
    found = {}
    for one in (record, *record.get("earlier", {}).values()):
        if one.get("stage") not in ("convert", "flmd-data convert"):
            continue
        params = one.get("params", {})
        split = params.get("dataset", {}).get("split") or params.get("split") or "not recorded"
        for name in one.get("inputs", {}):
            if not chosen or one["stage"] != "convert" or name in chosen:
                found[name] = f"source {kinds.get(name, 'not recorded')}, split {split}"
    return dict(sorted(found.items()))


def _learned_from(record: Mapping[str, Any]) -> dict[str, str]:
    """Weights that others made, by how they were used; the record's params name them."""
    train, inputs = record.get("params", {}).get("train", {}), record.get("inputs", {})
    told = {}
    for how, key in (("began with", "pretrained"), ("teacher", "teacher")):
        name = train.get(key, NONE)
        if name != NONE:
            digest = inputs.get(f"{key}.pt") or inputs.get(name)  # as the stage or as `flmd train` names it
            told[how] = f"{name}, sha256 {digest}" if digest else str(name)
    if "teacher" in told:
        told["teacher"] += f"; {100 * float(train['teacher_weight']):g} % of every target"
    return told


def _licences(data: Mapping[str, str], manifests: Path) -> dict[str, str]:
    told = {}
    for name, what in data.items():
        if what.startswith("source sample"):
            told[name] = DRAWN
            continue
        official = official_of(name, manifests)
        if official is not None:
            told[name] = official.license
    return told


def _measured(path: Path, sha256: str) -> tuple[dict[str, float], str]:
    """NME by data set, from an evaluation beside the model or in its project that names its digest."""
    folders = [path.parent, *list(path.absolute().parents)[1:4]]
    for folder in folders:
        for file in sorted({*folder.glob(METRICS), *folder.glob(f"*/{METRICS}")}):
            try:
                evaluation = json.loads(file.read_text(encoding="utf-8"))
                inputs = evaluation["made_from"]["inputs"]
                numbers = json.loads((file.parent / "metrics.json").read_text(encoding="utf-8"))
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if sha256 in inputs.values():
                found = {n: v["nme"] for n, v in numbers.items() if isinstance(v, dict) and "nme" in v}
                return found, str(file.parent / "metrics.json")
    return {}, ""


def _command(record: Mapping[str, Any]) -> str:
    """What a person would type."""
    stage = str(record.get("stage", ""))
    if stage == "train":
        return "dvc repro train"
    if stage == "flmd train":
        store = next((name for name in record.get("inputs", {}) if name.endswith(".h5")), "STORE")
        return f"flmd train {store} --out FOLDER"
    return stage
