"""``python -m benchmarks.accuracy``: trains and measures what our models are compared with.

    python -m benchmarks.accuracy dlib faces.h5 --pictures TREE --out reports/accuracy
    python -m benchmarks.accuracy mean-shape faces.h5 --out reports/accuracy
    python -m benchmarks.accuracy naive faces.h5 --pictures TREE --out reports/accuracy
    python -m benchmarks.accuracy model faces.h5 --model best.pt --name fast --out reports/accuracy
    python -m benchmarks.accuracy recipe fast --out reports/accuracy -S datasets.ibug300w.source=../faces
    python -m benchmarks.accuracy latency faces.h5 --model best.pt --predictor reports/accuracy/dlib.dat
    python -m benchmarks.accuracy table reports/accuracy

Each but the last two appends a row to ``results.jsonl`` in the folder. ``recipe`` changes params.yaml and the
outputs of the project in the current folder: run it in a clone.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ruamel.yaml import YAML

from benchmarks.accuracy import cost, results
from benchmarks.accuracy.pictures import shown
from benchmarks.accuracy.results import Row
from flmd.errors import FlmdError, StoreError
from flmd.evaluation import measure, metrics
from flmd.evaluation.evaluate import mean_shapes, predict_rows, test_faces
from flmd.experiments import recipes
from flmd.models import checkpoint
from flmd.store.face_store import FaceStore

TIMED = 200  # faces


def main() -> None:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    chosen = _arguments()
    try:
        chosen.run(chosen)
    except FlmdError as error:
        raise SystemExit(str(error)) from None
    except subprocess.CalledProcessError as error:  # it has said why
        raise SystemExit(error.returncode) from None


def train_dlib(chosen: argparse.Namespace) -> None:
    from benchmarks.accuracy import shape_predictor

    with FaceStore(chosen.store) as store:
        rows = _rows(store, chosen.splits, chosen.limit)
        settings = shape_predictor.options(chosen.seed, chosen.cascades, chosen.trees)
        start = cost.Stopwatch()
        predictor, faces, left_out = shape_predictor.train(
            shown(store, rows, chosen.pictures), store.scheme, settings, mirror=chosen.mirror
        )
        took = start.read()
        chosen.out.mkdir(parents=True, exist_ok=True)
        predictor.save(str(chosen.out / "dlib.dat"))
        test = _rows(store, ["test"], chosen.limit)
        predicted = shape_predictor.predict(predictor, shown(store, test, chosen.pictures))
        calls = shape_predictor.calls(predictor, list(shown(store, test[:TIMED], chosen.pictures)))
        twins = " with their mirrored twins" if chosen.mirror else ""
        ran = (
            f"{faces} faces ({'+'.join(chosen.splits)}{twins}; {left_out} left out), "
            f"{settings.cascade_depth} cascades of {settings.num_trees_per_cascade_level} trees of depth "
            f"{settings.tree_depth}, oversampling {settings.oversampling_amount}, {_source(chosen)}"
        )
        _finish(
            chosen,
            store,
            test,
            predicted,
            ran=ran,
            **took,
            parameters=shape_predictor.parameters(settings, store.scheme.count),
            bytes=(chosen.out / "dlib.dat").stat().st_size,
            latency=cost.latency(calls),
            versions={"dlib": version("dlib-bin")},
        )


def mean_shape(chosen: argparse.Namespace) -> None:
    with FaceStore(chosen.store) as store:
        rows = _rows(store, ["test"], chosen.limit)
        shapes = mean_shapes(store)
        boxes = store.numbers("box", rows)
        predicted = np.full((len(rows), store.scheme.count, 2), np.nan, np.float32)
        datasets = np.array(store.texts("dataset", rows))
        for name, shape in shapes.items():
            here = datasets == name
            predicted[here] = metrics.place_mean_shape(shape, boxes[here])
        ran = f"the mean of {len(store.rows_where(split='train'))} training faces laid into each box"
        parameters = sum(shape.size for shape in shapes.values())
        _finish(chosen, store, rows, predicted, ran=ran, parameters=parameters)


def naive(chosen: argparse.Namespace) -> None:
    from benchmarks.accuracy import naive as student

    torch.set_num_threads(chosen.threads)
    with FaceStore(chosen.store) as store:
        train = student.Faces(
            shown(store, _rows(store, ["train"], chosen.limit), chosen.pictures), chosen.size
        )
        val = student.Faces(shown(store, _rows(store, ["val"], chosen.limit), chosen.pictures), chosen.size)
        start = cost.Stopwatch()
        model, epoch = student.train(
            train, val, chosen.network, store.scheme.count, chosen.epochs, seed=chosen.seed
        )
        took = start.read()
        rows = _rows(store, ["test"], chosen.limit)
        predicted = student.predict(model, shown(store, rows, chosen.pictures), chosen.size)
        example = torch.zeros(1, 1, chosen.size, chosen.size)
        ran = (
            f"{chosen.network} at {chosen.size} px, boxes squashed to a square, no augmentation, "
            f"{len(train)} faces, {chosen.epochs} epochs, the best of {len(val)} validation faces "
            f"(epoch {epoch}); {_source(chosen)}"
        )
        parameters = cost.parameters(model)
        _finish(
            chosen,
            store,
            rows,
            predicted,
            ran=ran,
            **took,
            parameters=parameters,
            flops=cost.flops(model, example),
            bytes=4 * parameters,
            latency=cost.latency(cost.network_calls(model, example, TIMED)),
            versions={"torch": torch.__version__},
        )


def recipe(chosen: argparse.Namespace) -> None:
    """What a user does, `flmd recipe apply` and `dvc repro`; the stage that trains is timed by itself."""
    params_file = Path("params.yaml")
    changed = recipes.load(chosen.recipe, recipes.folder())
    recipes.apply(changed, params_file)
    wishes: dict[str, Any] = {}
    for text in chosen.set:
        key, _, value = text.partition("=")
        *sections, last = key.split(".")
        place = wishes
        for part in sections:
            place = place.setdefault(part, {})
        place[last] = YAML(typ="safe").load(value)
    recipes.apply(replace(changed, settings=wishes), params_file)
    subprocess.run(["dvc", "repro", "augment", "weights"], check=True)
    start = cost.Stopwatch()  # without the run cache, which would bring back a training in no time
    subprocess.run(["dvc", "repro", "--force", "--single-item", "--no-run-cache", "train"], check=True)
    took = start.read()
    chosen.out.mkdir(parents=True, exist_ok=True)
    kept = chosen.out / f"{chosen.name.replace(' ', '-')}.pt"
    shutil.copyfile("data/model/best.pt", kept)
    chosen.store = Path("data/faces.h5")
    _measure_model(chosen, kept, took)


def model(chosen: argparse.Namespace) -> None:
    _measure_model(chosen, chosen.model, {})


def _measure_model(chosen: argparse.Namespace, path: Path, took: dict[str, Any]) -> None:
    """A model of ours on the test faces of the data sets that it was trained on."""
    network, info = checkpoint.load_model(path)
    example = _example(info)
    params: dict[str, Any] = dict(info.made_from.get("params", {}))
    training = dict(params.get("train", {}))
    with FaceStore(chosen.store) as store:
        rows = _rows(store, ["test"], chosen.limit, training.get("datasets", []))
        predicted = predict_rows(store, rows, network, info, "cpu")
        faces = len(_rows(store, ["train"], None, training.get("datasets", [])))
        ran = f"{info.network} at {info.normalisation.input_size} px; {faces} faces"
        if training:
            each = training["epoch_faces"] or faces * info.crop.augmentation["variants"]
            ran += f", {training['epochs']} epochs of {each:,} crops, batch {training['batch']}"
        ran += f"; the model of epoch {info.epoch}"
        _finish(
            chosen,
            store,
            rows,
            predicted,
            ran=ran,
            **took,
            seed=int(params.get("seed", chosen.seed)),
            parameters=cost.parameters(network),
            flops=cost.flops(network, example),
            bytes=path.stat().st_size,
            latency=cost.latency(cost.network_calls(network, example, TIMED)),
            versions={"torch": torch.__version__},
        )


def latency(chosen: argparse.Namespace) -> None:
    """Networks and dlib in turns, so that what else the machine does meets all of them."""
    calls: dict[str, list[Any]] = {}
    for path in chosen.model:
        network, info = checkpoint.load_model(path)
        example = _example(info)
        calls[str(path)] = cost.network_calls(network, example, TIMED)
        million = cost.flops(network, example) / 1e6
        print(f"{path}: {cost.parameters(network):,} parameters, {million:.1f} MFLOPs")
    if chosen.predictor:
        import dlib

        from benchmarks.accuracy import shape_predictor

        with FaceStore(chosen.store) as store:
            faces = list(shown(store, _rows(store, ["test"], TIMED), chosen.pictures))
        predictor = dlib.shape_predictor(str(chosen.predictor))
        calls[str(chosen.predictor)] = shape_predictor.calls(predictor, faces)
    for turn in range(chosen.rounds):
        for name, timed in calls.items():
            took = cost.latency(timed)
            print(
                f"{turn + 1}/{chosen.rounds} {name}: median {took['median']:.3f} ms, "
                f"p95 {took['p95']:.3f} ms, {took['calls']} calls, load {took['load']:.2f}",
                flush=True,
            )


def table(chosen: argparse.Namespace) -> None:
    rows = results.read(chosen.folders)
    if chosen.chart:
        from benchmarks.accuracy import chart

        chart.draw(rows, chosen.chart)
    print(results.markdown(rows), end="")


def _rows(
    store: FaceStore, splits: list[str], limit: int | None, datasets: Sequence[str] = ()
) -> NDArray[np.intp]:
    """Of these splits, in the store's order; the first ``limit`` of each. ``datasets``: of these alone."""
    found = np.sort(np.concatenate([store.rows_where(split=split)[:limit] for split in splits]))
    if datasets:
        found = found[np.isin(store.texts("dataset", found), datasets)]
    if not len(found):
        raise StoreError(f"no face has split {' or '.join(splits)}", where=str(store.path))
    return found


def _example(info: checkpoint.ModelInfo) -> torch.Tensor:
    return torch.zeros(1, info.channels, info.normalisation.input_size, info.normalisation.input_size)


def _source(chosen: argparse.Namespace) -> str:
    return "whole pictures" if chosen.pictures else "enlarged crops of the store"


def _finish(
    chosen: argparse.Namespace,
    store: FaceStore,
    rows: NDArray[np.intp],
    predicted: NDArray[np.float32],
    *,
    seed: int | None = None,
    **made: Any,
) -> None:
    faces = test_faces(store, rows)
    measured = measure.measure(
        faces, predicted, mean_shapes(store), store.scheme, chosen.normaliser, chosen.threshold
    )
    row = Row(
        system=chosen.name,
        test_faces=results.digests_of(faces),
        splits=results.splits_of(store),
        command=shlex.join(["python", "-m", "benchmarks.accuracy", *sys.argv[1:]]),
        seed=chosen.seed if seed is None else seed,
        metrics=measured.metrics,
        settings=measured.settings,
        regions=results.regions_of(measured),
        whole=not chosen.short,
        **made,
    )
    path = results.append(row, chosen.out)
    print(results.markdown([row]))
    print(f"added to {path}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        run: Any, name: str, help: str, system: str | None, pictures: bool
    ) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=help, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        one.set_defaults(run=run)
        if name == "table":
            return one
        if name == "recipe":
            one.add_argument("recipe", help="as `flmd recipe list` has it")
        else:
            one.add_argument("store", type=Path, help="a face store, from `flmd-data convert`")
        if pictures:
            one.add_argument("--pictures", type=Path, help="tree of the pictures; without, the store's crops")
        if system is not None:
            one.add_argument("--out", type=Path, required=True, help="folder for results.jsonl")
            one.add_argument("--name", default=system, help="of the system, in the tables")
            one.add_argument("--seed", type=int, default=7, help="of the training")
            one.add_argument("--short", action="store_true", help="it did not run its whole schedule")
            one.add_argument("--limit", type=int, help="of each split the first so many faces: a trial")
            one.add_argument("--normaliser", default="inter_ocular", choices=metrics.NORMALISERS)
            one.add_argument("--threshold", type=float, default=0.08, help="of AUC and failure rate")
        return one

    one = command(train_dlib, "dlib", "train dlib's shape predictor and measure it", "dlib", True)
    one.add_argument("--splits", nargs="+", default=["train", "val"], help="it needs no validation faces")
    one.add_argument("--cascades", type=int, default=15)
    one.add_argument("--trees", type=int, help="in a cascade; dlib's default where not given")
    one.add_argument("--no-mirror", dest="mirror", action="store_false", help="the store has twins already")
    command(mean_shape, "mean-shape", "measure the mean shape in each box", "mean shape", False)
    one = command(naive, "naive", "train the students' pipeline and measure it", "naive", True)
    one.add_argument("--network", default="naimishnet", help="of flmd.models")
    one.add_argument("--size", type=int, default=96, help="px, side of the input")
    one.add_argument("--epochs", type=int, default=20)
    one.add_argument("--threads", type=int, default=1)
    one = command(model, "model", "measure a model of ours", "flmd", False)
    one.add_argument("--model", type=Path, required=True, help="best.pt")
    one = command(recipe, "recipe", "train a recipe in this project and measure it", "recipe", False)
    one.add_argument(
        "-S", dest="set", action="append", default=[], metavar="KEY=VALUE", help="of params.yaml"
    )
    one = command(latency, "latency", "time models and dlib's predictor in turns", None, True)
    one.add_argument("--model", type=Path, nargs="*", default=[], help="best.pt")
    one.add_argument("--predictor", type=Path, help="dlib.dat")
    one.add_argument("--rounds", type=int, default=3)
    one = command(table, "table", "the tables of rows", None, False)
    one.add_argument("folders", type=Path, nargs="+")
    one.add_argument("--chart", type=Path, help="and a picture: error over cost, PNG")
    return parser.parse_args()


if __name__ == "__main__":
    main()
