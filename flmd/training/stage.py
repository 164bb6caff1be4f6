"""Stage `train`: the network, from the training arrays, or live from the face store."""

from __future__ import annotations

import sys
from pathlib import Path

from flmd.core import params, processor, provenance


def train() -> None:
    """Write data/model/best.pt and last.pt, and the curves in reports/training."""
    settings = params.load()
    processor.restart_pinned(settings.train.cpu)
    from flmd.augmentation import arrays
    from flmd.models import checkpoint
    from flmd.store.face_store import FaceStore
    from flmd.training import distributed
    from flmd.training.faces_of import fit_arrays

    distributed.restart_under_torchrun()  # when FLMD_TORCHRUN asks for several processes
    with distributed.joined() as processes:
        faces, source, weights = Path("data/faces.h5"), Path("data/arrays.h5"), Path("data/pretrained.pt")
        start_from = {} if settings.train.pretrained == "none" else {"pretrained": str(weights)}
        teacher = {} if settings.train.teacher == "none" else {"teacher": "data/teacher.pt"}
        curves = Path("reports/training")
        with arrays.TrainingArrays(source) as data:
            inputs = {source: data.made_from}
            if settings.train.augmentation == "live":
                with FaceStore(faces) as store:
                    inputs[faces] = store.made_from
            if teacher:
                inputs[Path(teacher["teacher"])] = checkpoint.read_info(teacher["teacher"]).made_from
            if start_from:
                inputs[weights] = provenance.read_beside(weights.with_suffix(".json"))
            made_from = provenance.made_from(
                inputs, {"train": settings.train, "seed": settings.seed}, stage="train"
            )
            result = fit_arrays(
                data,
                faces,
                settings.train.model_copy(update={**start_from, **teacher}),
                seed=settings.seed,
                datasets=settings.train.datasets,
                out=Path("data/model"),
                resume_dir=Path("data/.resume"),
                curves=curves,
                made_from=made_from,
            )
        if processes.first:
            if left_out := settings.not_trained_on():
                print(f"not trained on: {', '.join(left_out)}; train.datasets leaves it out")
            files = [path for path in curves.rglob("*") if path.is_file() and path.name != provenance.BESIDE]
            provenance.write_beside(curves / provenance.BESIDE, made_from, files)
            print(f"best epoch {result.best_epoch}, {result.best_by} {result.best_val:.6g}")
            if result.best_by != "validation loss":
                print("no face has split val: the best epoch is the best by training loss", file=sys.stderr)
