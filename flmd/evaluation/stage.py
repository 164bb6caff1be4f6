"""Stage `evaluate`: the best model on the test faces of every data set."""

from __future__ import annotations

from pathlib import Path

from flmd.core import params, processor, provenance


def evaluate() -> None:
    """Write metrics.json, evaluation.json, faces.csv and the plots under reports/."""
    settings = params.load()
    processor.restart_pinned(settings.train.cpu)
    from flmd.evaluation.evaluate import evaluate_store
    from flmd.models import checkpoint
    from flmd.store.face_store import FaceStore

    source, model = Path("data/faces.h5"), Path("data/model/best.pt")
    used = {
        "evaluate": settings.evaluate,
        "seed": settings.seed,
        "train": {
            "device": settings.train.device,
            "cpu": settings.train.cpu,
            "threads": settings.train.threads,
        },
    }
    with FaceStore(source) as store:
        inputs = {source: store.made_from, model: checkpoint.read_info(model).made_from}
        measured = evaluate_store(
            store,
            model,
            Path("reports"),
            settings.evaluate,
            seed=settings.seed,
            device=settings.train.device,
            threads=settings.train.threads,
            made_from=provenance.made_from(inputs, used, stage="evaluate"),
        )
    for name in measured.settings["datasets"]:
        if f"{name}.nme" in measured.metrics:
            print(
                f"{name}: NME {100 * measured.metrics[f'{name}.nme']:.2f} % ({settings.evaluate.normaliser})"
            )
