"""Stage `download`: one data set's raw data, as one archive."""

from __future__ import annotations

from pathlib import Path

from flmd.core import params, processor
from flmd.sources.datasets.rules import rules_for
from flmd.sources.fetch.download import fetch
from flmd.tree import Limits


def download(name: str = "") -> None:
    """Put the archive of data set ``name`` at data/raw/<name>."""
    processor.restart_pinned("portable", needed=False)
    settings = params.load()
    dataset, rules = settings.dataset(name), rules_for(name)
    target = Path("data/raw") / name
    if dataset.is_sample:
        target.parent.mkdir(parents=True, exist_ok=True)
        rules.make_sample(target, dataset.sample_faces or rules.sample_faces, settings.seed)
        return
    limits = Limits.of(settings.download)
    got = fetch(
        dataset.address,
        target,
        manifest=Path("data/manifests") / f"{name}.json",
        accept_license=dataset.accept_license,
        official=rules.official,
        limits=limits,
        params_key=f"datasets.{name}",
    )
    print(f"{name}: {got.bytes} bytes, sha256 {got.sha256}")
