"""What was found, shown: the picture with its points, each face, the times, and files to take home."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import PurePosixPath

import cv2
import numpy as np
import streamlit as st
from numpy.typing import NDArray

from flmd.app import drawing
from flmd.app.analysis import Analysis
from flmd.app.annotations import annotation_file, offered
from flmd.app.drawing import Marks
from flmd.app.words import plain
from flmd.errors import FlmdError
from flmd.inference.picture import Picture

SHOWN = 1400  # px, the longer side of the picture on the page
FACE_SIDE, MOST_FACES = 168, 24  # px; two side by side on a phone


def choose_marks() -> Marks:
    """Which marks the visitor wants to see."""
    st.markdown("**Draw**")
    return Marks(
        boxes=st.checkbox("Boxes", value=True, key="boxes"),
        numbers=st.checkbox("Numbers of the points", key="numbers"),
    )


def remembered(key: Hashable, make: Callable[[], Analysis]) -> Analysis:
    """The visitor's last analysis, made anew only when it was another picture, model or detector."""
    last = st.session_state.get("analysis")
    if last is None or last[0] != key:
        last = st.session_state["analysis"] = (key, make())
    analysis: Analysis = last[1]
    return analysis


def show(analysis: Analysis, picture: Picture, again: Callable[[], Picture], marks: Marks) -> None:
    """Everything about a picture that was looked at.

    Parameters
    ----------
    again : opens it again, later, when its pixels are no longer in memory.
    """
    faces = analysis.faces
    if not faces:
        st.warning(
            "No face was found in this picture. A frontal face, well lit and larger than 30 pixels, is found "
            "most easily. If the picture is one face cut out, choose the detector that takes all of it.",
            icon=":material/search_off:",
        )
    left, right = st.columns([5, 2], gap="medium")
    with left:
        shown = drawing.annotated(picture, faces, marks, longest_side=SHOWN)
        st.image(_jpeg(shown), width="stretch", alt="The picture with the faces that were found")
    with right:
        _numbers(analysis)
        if faces:
            _downloads(analysis, again, marks)
    if faces:
        _each_face(analysis, picture, marks)


def _numbers(analysis: Analysis) -> None:
    width, height = analysis.size
    with st.container(horizontal=True, key="numbers_found"):
        st.metric("Faces", len(analysis.faces))
        st.metric("Detection", _milliseconds(analysis.detection_seconds))
        if analysis.faces:
            st.metric("Landmarks", _milliseconds(analysis.landmark_seconds))
    st.caption(f"{width} × {height} pixels, {analysis.scheme.count} points a face ({analysis.scheme.name})")


def _milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def _downloads(analysis: Analysis, again: Callable[[], Picture], marks: Marks) -> None:
    stem = PurePosixPath(analysis.name).stem
    st.download_button(
        "Picture (PNG)",
        # Made when it is asked for: a large picture takes a while to compress.
        lambda: _png(drawing.annotated(again(), analysis.faces, marks)),
        file_name=f"{stem}_landmarks.png",
        mime="image/png",
        on_click="ignore",
        icon=":material/image:",
        width="stretch",
        key="download_picture",
    )
    name = st.selectbox("Format of the annotations", offered(analysis.scheme), key="format")
    try:
        file = annotation_file(analysis.faces, analysis.scheme, name, stem)
    except FlmdError as error:
        st.error(f"{name} cannot hold these faces: {plain(str(error))}")
        return
    st.download_button(
        "Annotations",
        file.data,
        file_name=file.name,
        on_click="ignore",
        icon=":material/data_object:",
        width="stretch",
        key="download_annotations",
    )
    if file.lost:
        st.caption(f"{name} does not keep: {plain(', '.join(sorted(file.lost)))}.")


def _each_face(analysis: Analysis, picture: Picture, marks: Marks) -> None:
    st.subheader("Each face", anchor=False)
    with st.container(horizontal=True, key="each_face"):
        for number, face in enumerate(analysis.faces[:MOST_FACES], 1):
            assert face.box is not None
            pixels = drawing.face_picture(picture, face, FACE_SIDE, marks)
            score = face.attributes.get("score")
            with st.container(width=FACE_SIDE, gap=None):
                st.image(_jpeg(pixels), alt=f"Face {number}")
                st.caption(
                    f"{number}: {face.box[2]:.0f} × {face.box[3]:.0f} px"
                    + (f", score {score:g}" if score else "")
                )
    if len(analysis.faces) > MOST_FACES:
        st.caption(f"The {MOST_FACES} largest of {len(analysis.faces)} faces.")


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 93, cv2.IMWRITE_JPEG_SAMPLING_FACTOR]
    return _encoded(".jpg", rgb, [*options, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444])


def _png(rgb: NDArray[np.uint8]) -> bytes:
    return _encoded(".png", rgb, [])


def _encoded(ending: str, rgb: NDArray[np.uint8], options: list[int]) -> bytes:
    done, data = cv2.imencode(ending, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise RuntimeError(f"OpenCV made no {ending}")
    return data.tobytes()
