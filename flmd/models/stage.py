"""Stage `weights`: what training starts from, as one file that travels with `dvc push`."""

from __future__ import annotations

from pathlib import Path

from flmd.core import params, provenance
from flmd.models import pretrained


def weights() -> None:
    """Write data/pretrained.pt, and data/pretrained.json with what it was made from."""
    settings = params.load()
    target, folder = Path("data/pretrained.pt"), Path("data/weights")
    source = pretrained.place_weights(settings.train.network, settings.train.pretrained, target, folder)
    record = provenance.made_from(
        [] if source == pretrained.NONE else [Path(source)],
        {"train": {"network": settings.train.network, "pretrained": settings.train.pretrained}},
        stage="weights",
    )
    provenance.write_beside(target.with_suffix(".json"), record, [target])
    print(source)
