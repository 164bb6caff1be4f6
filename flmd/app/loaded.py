"""The models that the server has in memory, each loaded once for all visitors."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import streamlit as st

from flmd.app import drawing
from flmd.app.analysis import Analyser
from flmd.app.annotations import annotation_file, offered
from flmd.errors import FlmdError
from flmd.inference.picture import Picture


@st.cache_resource(max_entries=4, show_spinner="Loading the model …")
def analyser(path: str, changed: int, size: int) -> Analyser:
    """A model; loaded again when its file changes."""
    return Analyser(Path(path))


def model(path: Path) -> tuple[Analyser, tuple[object, ...]]:
    """A model, and what tells it from the one that was in its place before; FlmdError, OSError."""
    state = path.stat()
    version = (str(path), state.st_mtime_ns, state.st_size)
    return analyser(*version), version


def warm_up(path: Path) -> None:
    """Load a model and go all the way with a picture without anything: the first visitor would wait for it.

    What cannot be loaded is not said here: the page says it.
    """
    # Streamlit warns that no visitor is there.
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)
    try:
        look, _ = model(path)
        grey = Picture("grey.png", np.full((64, 64, 3), 128, np.uint8))
        look(grey, "haar")
        found = look(grey, "none")
        drawing.annotated(grey, found.faces)
        annotation_file(found.faces, found.scheme, offered(found.scheme)[0], "grey")
    except (FlmdError, OSError):
        return
