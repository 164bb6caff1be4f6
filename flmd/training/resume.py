"""The state of a training on disk, from which one that was killed goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import torch

from flmd.core import terminal
from flmd.core._version import __version__ as flmd_version
from flmd.core.crop_spec import CropSpec
from flmd.core.params import TrainParams
from flmd.errors import StoreError, one_line
from flmd.models import checkpoint
from flmd.schemes import Scheme
from flmd.training.crop_source import CropSource
from flmd.training.distributed import Processes


class ResumeFile:
    """Where the state after each epoch is kept; in one place for all processes, and only the first writes.

    Parameters
    ----------
    folder : of the states of all trainings; None: nothing is kept. fingerprint : of this training.
    """

    def __init__(self, folder: Path | None, fingerprint: str, processes: Processes) -> None:
        self.path = None if folder is None else folder / fingerprint / "resume.pt"
        self._processes = processes

    def load(self) -> dict[str, Any] | None:
        """The saved state, in all processes; None, with a warning, for one that cannot be read."""
        state = None
        if self._processes.first and self.path is not None:
            self._clear(self.path)
            if self.path.is_file():
                try:
                    state = checkpoint.load_resume(self.path)
                except (StoreError, OSError) as error:
                    self.refuse(one_line(error))
        return self._processes.from_first(state)

    def refuse(self, why: str) -> None:
        """Say that there is no going on from the saved state; the next one replaces it."""
        if self._processes.first:
            terminal.say(f"warning: training starts over: {why}", err=True)

    def _clear(self, path: Path) -> None:
        """Move aside what is no file in the state's place, or no folder in its folder's."""
        for place, fits in ((path.parent, path.parent.is_dir()), (path, path.is_file())):
            if place.exists() and not fits:
                aside = place.with_name(f"{place.name}.aside-{time.time_ns()}")
                place.rename(aside)
                kind = "a file" if place == path else "a folder"
                self.refuse(f"{place}: not {kind}; moved to {aside.name}")

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state."""
        if self.path is not None and self._processes.first:
            checkpoint.save_resume(self.path, state)

    def remove(self) -> None:
        """Delete the state and the folders that held nothing else."""
        if self.path is None or not self._processes.first:
            return
        self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()
            self.path.parent.parent.rmdir()


def fingerprint(
    train: CropSource,
    val: CropSource,
    settings: TrainParams,
    scheme: Scheme,
    seed: int,
    crop: CropSpec,
    made_from: dict[str, Any],
) -> str:
    """Names a training by all that decides its result, so that only the same one is ever gone on with."""
    decides = {
        "settings": settings.model_dump(),
        "scheme": scheme.name,
        "seed": seed,
        "crop": crop.to_dict(),
        "made_from": made_from,
        "versions": [flmd_version, torch.__version__],
        "faces": [train.digest(), val.digest()],
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()[:24]
