"""Stage `weights`: what training starts from and its teacher, as files that travel with `dvc push`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flmd.core import params, provenance
from flmd.models import checkpoint, own_weights, pretrained


def weights() -> None:
    """Write data/pretrained.pt, data/teacher.pt, and data/pretrained.json with what both were made from."""
    settings = params.load()
    target, folder = Path("data/pretrained.pt"), Path("data/weights")
    teacher, train = Path("data/teacher.pt"), settings.train
    sources = [
        pretrained.place_weights(train.network, train.pretrained, target, folder),
        pretrained.place_teacher(train.teacher, teacher, folder),
    ]
    record = provenance.made_from(
        {Path(source): _record_of(source) for source in sources if source != pretrained.NONE},
        {"train": {"network": train.network, "pretrained": train.pretrained, "teacher": train.teacher}},
        stage="weights",
    )
    provenance.write_beside(target.with_suffix(".json"), record, [target, teacher])
    print(f"weights: {sources[0]}; teacher: {sources[1]}")


def _record_of(source: str) -> dict[str, Any] | None:
    """What a model of flmd says that it was made from; None of weights of torchvision."""
    return checkpoint.read_info(source).made_from if own_weights.is_model(source) else None
