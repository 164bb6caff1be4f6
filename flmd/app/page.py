"""The page, as Streamlit runs it: from top to bottom, again after every click.

Run it with ``flmd app``. What a visitor sends stays in memory, apart from annotations on their way to the
browser, which pass through a temporary folder.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Hashable
from pathlib import Path

import cv2
import streamlit as st
from PIL import Image

from flmd.app import inputs, loaded, results, turns
from flmd.app.analysis import Analyser, DetectorError, opened
from flmd.app.drawing import Marks, icon
from flmd.app.model_files import model_files
from flmd.app.settings import PageSettings
from flmd.app.words import plain, sentence
from flmd.errors import FlmdError

# Streamlit leaves a hand's breadth free at the top, and sets numbers that break the line of a narrow column.
STYLE = """<style>
.stMainBlockContainer { padding-top: 3.5rem; }
[data-testid="stMetricValue"] { font-size: 1.5rem; }
</style>"""
FAILED = "Something went wrong here, and it is not your fault. The cause is in the server's log."
BUSY = "Too many pictures are being looked at just now. Try again in a moment."
log = logging.getLogger("flmd.app")
DETECTORS = {
    "haar": "Haar cascade: frontal faces",
    "yunet": "YuNet: faces at any angle",
    "none": "None: the whole picture is one face",
}


def main(settings: PageSettings) -> None:
    """All of the page."""
    st.set_page_config("Facial landmarks", Image.fromarray(icon()), "wide")
    st.html(STYLE)
    st.title("Facial landmarks", anchor=False)
    st.caption(
        "Send a picture and see the faces in it, with the points on each. Pictures are looked at in memory; "
        "none is kept."
    )
    with st.sidebar:
        model = _choose_model(settings)
        detector = _choose_detector(settings)
        marks = results.choose_marks()
    sent = inputs.picture(settings)
    if model is None or sent is None:
        return
    try:
        look, version = loaded.model(model)
    except (FlmdError, OSError) as error:
        log.warning("%s: %s", model, error)
        st.error(f"The model {plain(model.name)} cannot be used. Choose another one.")
        return
    try:
        _look(look, sent, detector, (version, detector, sent.digest), marks, settings)
    except turns.BusyError:
        st.warning(BUSY, icon=":material/hourglass_empty:")
        st.button("Try again", key="try_again")
    except DetectorError as error:
        log.warning("%s", error)
        st.error("This face detector cannot be used. Choose another one.")
    except FlmdError as error:
        st.error(plain(sentence(error, max_megapixels=settings.max_megapixels)))
    except (cv2.error, MemoryError):  # a picture that is sound as far as its header says
        log.exception("a picture was too much")
        st.error("This picture cannot be worked on.")


def _look(
    look: Analyser, sent: inputs.Sent, detector: str, key: Hashable, marks: Marks, settings: PageSettings
) -> None:
    """Look at a picture, unless that was done, and show what was found; its pixels are let go of then."""
    again = functools.partial(opened, sent.data, sent.name, max_pixels=settings.max_megapixels * 1e6)
    with contextlib.ExitStack() as turn:
        with st.spinner("Looking at the picture …"):
            turn.enter_context(turns.TURNS.turn())
            picture = again()
            analysis = results.remembered(key, lambda: look(picture, detector))
        results.show(analysis, picture, again, marks)


def _choose_model(settings: PageSettings) -> Path | None:
    files = model_files(settings.models, Path.cwd())
    if not files:
        st.error("There is no model here. Start with `flmd app --model FILE`, or train one: `dvc repro`.")
        return None
    return st.selectbox("Model", files, format_func=_shown, key="model")


def _shown(path: Path) -> str:
    # Where else the server keeps its files is not the visitor's business.
    return "/".join(path.parts[-2:]) if path.is_absolute() else path.as_posix()


def _choose_detector(settings: PageSettings) -> str:
    names = [name for name in DETECTORS if name != "yunet" or settings.yunet is not None]
    name = st.selectbox("Face detector", names, format_func=DETECTORS.__getitem__, key="detector")
    return f"yunet:{settings.yunet}" if name == "yunet" else name


def run_with(argument: str) -> None:
    """The page with settings as ``PageSettings.argument`` writes them; a failure shows as a sentence only."""
    try:
        main(PageSettings.from_arguments([argument]))
    except Exception:
        log.exception("the page failed")
        st.error(FAILED)


if __name__ == "__main__":
    run_with(sys.argv[1] if len(sys.argv) > 1 else "{}")
