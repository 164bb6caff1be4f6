"""Stage `weights`: what training starts from, as one file that travels with `dvc push`."""

from __future__ import annotations

import sys
from pathlib import Path

from flmd import errors, params, weights


def main() -> None:
    """Write data/pretrained.pt."""
    settings = params.load()
    target, folder = Path("data/pretrained.pt"), Path("data/weights")
    print(weights.place(settings.train.network, settings.train.pretrained, target, folder))


if __name__ == "__main__":
    sys.exit(errors.run(main))
