"""The end of the page's server: within seconds, whatever is under way.

Streamlit waits until the last browser has gone, and then Python ends under threads that are in native code
(OpenCV, torch, ONNX Runtime), which C++ answers with "terminate called without an active exception".
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Any

GRACE = 3.0  # seconds for pictures that are being looked at


def at_last(server: Any) -> None:
    """Make ``server.stop`` (of Streamlit's class of servers) end this process after :data:`GRACE`."""
    stop = server.stop

    def stop_in_time(self: Any) -> None:
        timer = threading.Timer(GRACE, now)
        timer.daemon = True
        timer.start()
        stop(self)

    server.stop = stop_in_time


def now() -> None:
    """End this process as one that did its work, without waiting for any thread."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # none, or closed, or nobody reads
            stream.flush()
    os._exit(0)
