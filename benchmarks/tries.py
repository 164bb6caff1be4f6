"""``python -m benchmarks.tries``: what one change of a recipe gives, each trained on the same small budget.

    flmd recipe apply fast && dvc repro augment
    python -m benchmarks.tries --out reports/tries.jsonl
    python -m benchmarks.tries --out reports/tries.jsonl --table

Every try is params.yaml with one change, trained for so many crops. One person in eight, or picture where
no person is known, is held out of all training faces, and the model of the last epoch is measured on those:
plain crops, NME in % of the inter-ocular distance. Test faces are not looked at. The difference to the
first try is paired, face by face; its interval is a bootstrap of persons. A row is appended as it ends, and
a try whose row is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flmd.core import params, processor
from flmd.errors import FlmdError, InputError

if TYPE_CHECKING:
    from flmd.augmentation.arrays import ArraySplit
    from flmd.store.face_store import FaceStore
    from flmd.training.crop_source import CropSource

HELD_OUT = 8  # one person in so many
DRAWS = 2000
_HALF_JITTER: Mapping[str, Mapping[str, Any]] = {"augment": {"shift": 0.02, "scale": 0.05}}
# Name: what it changes, by section. {teacher} stands for --teacher.
TRIES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "as it is": {},
    "another seed": {"seed": {"seed": 8}},
    "teacher, half": {"train": {"teacher": "{teacher}", "teacher_weight": 0.5}},
    "teacher alone": {"train": {"teacher": "{teacher}", "teacher_weight": 1.0}},
    "teacher alone, YouTube mirrored": {
        "train": {"teacher": "{teacher}", "teacher_weight": 1.0},
        "augment": {"flip_of": {}},
    },
    "weights not averaged": {"train": {"ema_decay": 0.0}},
    "wing loss": {"train": {"loss": "wing", "loss_options": {}}},
    "smooth L1, beta 0.01": {"train": {"loss": "smooth_l1", "loss_options": {"beta": 0.01}}},
    "boxes jittered twice as far": {"augment": {"shift": 0.08, "scale": 0.2}},
    "boxes not jittered": {"augment": {"shift": 0.0, "scale": 0.0}},
    "boxes jittered half as far": _HALF_JITTER,
    "half as far, wing loss": {**_HALF_JITTER, "train": {"loss": "wing", "loss_options": {}}},
    "half as far, wing loss, epsilon 0.01": {
        **_HALF_JITTER,
        "train": {"loss": "wing", "loss_options": {"epsilon": 0.01}},
    },
    "half as far, padding 1.2": {"augment": {**_HALF_JITTER["augment"], "padding": 1.2}},
    "turned by 40 degrees": {"augment": {"rotation": 40}},
    "nothing covered": {"augment": {"occlusion": 0.0}},
    "YouTube mirrored too": {"augment": {"flip_of": {}, "offset_of": {}}},
    "not mirrored": {"augment": {"flip": 0.0}},
    "8 stored versions": {"train": {"augmentation": "stored"}, "augment": {"variants": 8}},
    "no fine block, two coarse": {
        "train": {"network_options": {"width": 32, "fine_blocks": 0, "middle_blocks": 1, "coarse_blocks": 2}}
    },
    "no fine block, three coarse": {
        "train": {"network_options": {"width": 32, "fine_blocks": 0, "middle_blocks": 0, "coarse_blocks": 3}}
    },
    "weight decay 0.01": {"train": {"optimizer_options": {"weight_decay": 0.01}}},
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tries")
    parser.add_argument("--store", type=Path, default=Path("data/faces.h5"))
    parser.add_argument("--out", type=Path, default=Path("reports/tries.jsonl"))
    parser.add_argument("--epochs", type=int, default=30, help="of each try")
    parser.add_argument("--only", action="append", default=[], help="this try, by name; all of them")
    parser.add_argument("--teacher", help="a model file, for the tries that have one")
    parser.add_argument("--table", action="store_true", help="print the rows there are, train nothing")
    chosen = parser.parse_args()
    settings = params.load()
    processor.restart_pinned(settings.train.cpu)
    try:
        if not chosen.table:
            run(chosen, settings)
        for line in table(rows_of(chosen.out)):
            print(line)
    except FlmdError as error:
        raise SystemExit(str(error)) from None


def run(chosen: argparse.Namespace, settings: params.Params) -> None:
    """Train and measure what has no row yet."""
    from flmd.store.face_store import FaceStore

    done = {row["name"] for row in rows_of(chosen.out)}
    for name in chosen.only or TRIES:
        if name not in TRIES:
            raise InputError(f"no try {name!r}", expected=", ".join(TRIES))
        changes = TRIES[name]
        if name in done or ("teacher" in changes.get("train", {}) and not chosen.teacher):
            continue
        with FaceStore(chosen.store) as store:
            row = {"name": name, **_try(store, settings, changes, chosen.epochs, chosen.teacher)}
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        with chosen.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _try(
    store: FaceStore,
    settings: params.Params,
    changes: Mapping[str, Mapping[str, Any]],
    epochs: int,
    teacher: str | None,
) -> dict[str, Any]:
    """Train on the faces that are not held out, measure on the others."""
    from flmd.augmentation import build
    from flmd.augmentation.arrays import TrainingArrays
    from flmd.evaluation import measure
    from flmd.models.checkpoint import load_model
    from flmd.training import loop
    from flmd.training.faces_of import rule_of_boxes
    from flmd.training.live_crops import LiveCrops
    from flmd.training.stored_crops import StoredCrops

    told = {k: teacher if v == "{teacher}" else v for k, v in changes.get("train", {}).items()}
    train = settings.train.model_copy(update={**told, "epochs": epochs})
    seed = changes.get("seed", {}).get("seed", settings.seed)
    augment = settings.augment.model_copy(update=dict(changes.get("augment", {})))
    learn, held = divide(store, train.datasets)
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="flmd-tries-") as name:
        folder = Path(name)
        stored_as = augment.stored_for(train.augmentation)
        build.build(store, folder / "arrays.h5", stored_as, seed=seed, made_from={})
        with TrainingArrays(folder / "arrays.h5") as arrays:
            stored = arrays.split("train", train.datasets)
            live = train.augmentation == "live"
            keep = np.isin(stored.face, learn)
            faces: CropSource = (
                LiveCrops(store, learn, augment, seed=seed) if live else StoredCrops(_part(stored, keep))
            )
            train = train if live else train.model_copy(update={"epoch_faces": len(learn)})
            none = StoredCrops(_part(stored, np.zeros(len(stored), bool)), "val")
            shared: dict[str, Any] = {"scheme": arrays.scheme, "crop": arrays.crop}
            rule = rule_of_boxes(arrays, train.datasets)
            loop.fit(faces, none, train, seed=seed, out=folder, rule=rule, **shared)
        took = time.process_time() - began
        model, info = load_model(folder / "last.pt")
        made = build.plain_faces(store, held, info.crop)
        found = measure.predict(model, made.images, made.affine, info.normalisation)
    cost = {"crops": epochs * len(learn), "faces": len(learn), "cpu_s": round(took)}
    return {**cost, **_errors(store, held, found)}


def _part(split: ArraySplit, keep: NDArray[np.bool_]) -> ArraySplit:
    """Some of the crops."""
    names = [field.name for field in fields(split)]
    return replace(split, **{name: np.asarray(getattr(split, name))[keep] for name in names})


def divide(store: FaceStore, datasets: list[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the training faces that are learned from, and of those held out: whole persons or pictures."""
    from zlib import crc32

    split, name = np.array(store.texts("split")), np.array(store.texts("dataset"))
    rows = np.flatnonzero((split == "train") & np.isin(name, datasets))
    who = [s or i for s, i in zip(store.texts("subject", rows), store.texts("image", rows), strict=True)]
    out = np.array([crc32(text.encode()) % HELD_OUT == 0 for text in who])
    return rows[~out], rows[out]


def _errors(store: FaceStore, rows: NDArray[np.intp], found: NDArray[np.floating]) -> dict[str, Any]:
    """NME of each face held out, with its data set and person."""
    from flmd.evaluation import metrics

    known = store.numbers("visibility", rows)[..., None] > 0
    true = np.where(known, store.numbers("landmarks", rows), np.nan)
    lengths = metrics.normaliser_lengths("inter_ocular", true, store.numbers("box", rows), store.scheme)
    errors = metrics.nme(found, true, lengths)
    who = [s or i for s, i in zip(store.texts("subject", rows), store.texts("image", rows), strict=True)]
    return {
        "nme": [round(float(error), 6) for error in errors],
        "dataset": store.texts("dataset", rows),
        "person": np.unique(who, return_inverse=True)[1].tolist(),
    }


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows that are there."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown: NME on the faces held out of each data set, and the paired difference to the first row."""
    from flmd.evaluation.compare import bootstrap_means

    if not rows:
        return ["no try has run yet"]
    names = sorted(set(rows[0]["dataset"]))
    heads = [f"{name}, {rows[0]['dataset'].count(name)} faces | difference" for name in names]
    lines = ["| change | " + " | ".join(heads) + " |", "|---|" + "---:|---:|" * len(names)]
    for row in rows:
        cells = []
        for name in names:
            here = np.array(row["dataset"]) == name
            errors, first = (100 * np.array(r["nme"])[here] for r in (row, rows[0]))
            away = errors - first
            persons = np.unique(np.array(row["person"])[here], return_inverse=True)[1]
            drawn = bootstrap_means(away[:, None], persons, np.random.default_rng(0), DRAWS)
            low, high = np.nanpercentile(drawn, [2.5, 97.5])
            cells.append(f"{np.nanmean(errors):.2f}")
            cells.append("" if row is rows[0] else f"{np.nanmean(away):+.2f} ({low:+.2f} to {high:+.2f})")
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
