"""The three ways a picture gets to the page: a file, an address of the web, a camera."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import streamlit as st

from flmd.app.fetch import FetchError, FetchLimits, fetch_picture
from flmd.app.settings import MEGABYTE, PageSettings
from flmd.app.words import file_name, plain, sentence

WAYS = {
    "file": ":material/upload: File",
    "address": ":material/link: Web address",
    "camera": ":material/photo_camera: Camera",
}


@dataclass(frozen=True)
class Sent:
    """The bytes of a picture, and a name that is safe to use for files."""

    data: bytes
    name: str

    @cached_property
    def digest(self) -> str:
        """Of the bytes and the name."""
        return hashlib.sha256(self.name.encode() + b"\0" + self.data).hexdigest()


def picture(settings: PageSettings) -> Sent | None:
    """What the visitor has sent, in the way that is chosen; None when there is nothing yet."""
    way = st.segmented_control(
        "Where is your picture?", list(WAYS), format_func=WAYS.__getitem__, default="file", required=True
    )
    if way == "address":
        return _address(settings)
    if way == "camera":
        return _camera(settings)
    return _file(settings)


def _file(settings: PageSettings) -> Sent | None:
    # Any ending is taken: what a file is, its bytes say.
    sent = st.file_uploader(
        "A picture with faces",
        max_upload_size=settings.max_megabytes,
        key="file",
        label_visibility="collapsed",
    )
    return None if sent is None else _within(sent.getvalue(), file_name(sent.name), settings)


def _camera(settings: PageSettings) -> Sent | None:
    with st.container(width=640):
        sent = st.camera_input("Look at the camera", key="camera", label_visibility="collapsed")
    return None if sent is None else _within(sent.getvalue(), "camera.jpg", settings)


def _within(data: bytes, name: str, settings: PageSettings) -> Sent | None:
    if len(data) > settings.max_megabytes * MEGABYTE:
        st.error(f"This file is larger than {settings.max_megabytes} MB.")
        return None
    return Sent(data, name)


def _address(settings: PageSettings) -> Sent | None:
    with st.form("address", border=False):
        typed, button = st.columns([6, 1], vertical_alignment="bottom")
        url = typed.text_input(
            "Address of a picture", placeholder="https://example.org/face.jpg", label_visibility="collapsed"
        )
        wanted = button.form_submit_button("Fetch", type="primary", width="stretch")
    if wanted:
        st.session_state["fetched"] = _fetched(url, settings)
    found: Sent | str | None = st.session_state.get("fetched")
    if isinstance(found, str):
        st.error(found)
        return None
    return found


def _fetched(url: str, settings: PageSettings) -> Sent | str:
    """The picture at an address, or why there is none, as Markdown."""
    limits = FetchLimits(
        seconds=settings.fetch_seconds,
        max_bytes=settings.max_megabytes * MEGABYTE,
        allow_private=settings.allow_private,
    )
    try:
        with st.spinner("Fetching the picture …"):
            data = fetch_picture(url, limits)
    except FetchError as error:
        return plain(sentence(error, max_megapixels=settings.max_megapixels))
    return Sent(data, file_name(PurePosixPath(unquote(urlsplit(url).path)).name))
