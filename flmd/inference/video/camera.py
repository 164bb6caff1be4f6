"""A camera, and a window to show it in.

opencv-python-headless has no ``imshow``, so the window is Tk's, which Python brings along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import cv2

from flmd.core import opencv_log
from flmd.errors import InputError, ParamsError, one_line
from flmd.inference.video.video import Frame, VideoReader

NO_WINDOW = "write the video with --out FILE.mp4, or use the web page: flmd app"


@contextmanager
def open_camera(number: int) -> Iterator[VideoReader]:
    """Open a camera; InputError when there is none of that number."""
    try:
        with opencv_log.silent():
            capture = cv2.VideoCapture(number)
    except cv2.error as error:
        raise InputError(f"camera {number}: {one_line(error)}") from None
    try:
        if not capture.isOpened():
            raise InputError(f"there is no camera {number}", hint="choose another with --device")
        yield VideoReader(capture, f"camera {number}")
    finally:
        capture.release()


@contextmanager
def window(title: str) -> Iterator[Callable[[Frame], bool]]:
    """A window that shows frames as they come; False once it was closed, or escape or q pressed.

    Raises
    ------
    ParamsError : there is no display, or Python came without Tk.
    """
    try:
        import tkinter
    except ImportError:
        raise ParamsError("no window: this Python came without Tk", hint=NO_WINDOW) from None
    try:
        top = tkinter.Tk()
    except tkinter.TclError as error:
        raise ParamsError(f"no window: {one_line(error)}", hint=NO_WINDOW) from None
    top.title(title)
    label = tkinter.Label(top)
    label.pack()
    is_open = True

    def close(event: Any = None) -> None:
        nonlocal is_open
        is_open = False

    top.protocol("WM_DELETE_WINDOW", close)
    for key in ("<Escape>", "q"):
        top.bind(key, close)

    def show(frame: Frame) -> bool:
        height, width = frame.pixels.shape[:2]
        data = b"P6 %d %d 255\n" % (width, height) + frame.pixels.tobytes()
        image = tkinter.PhotoImage(master=top, data=data, format="PPM")
        label.configure(image=image)
        label.image = image  # type: ignore[attr-defined]  # Tk forgets a picture that nobody holds
        top.update()
        return is_open

    try:
        yield show
    finally:
        with suppress(tkinter.TclError):
            top.destroy()
