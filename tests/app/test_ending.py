"""A server that does not come to its end is ended."""

from __future__ import annotations

import subprocess
import sys

STUCK = """
import sys, threading, time
from flmd.app import ending

class Server:
    def stop(self):
        print("stopping", end="")
        threading.Thread(target=time.sleep, args=(600,)).start()  # no daemon: Python would wait for it
        time.sleep(600)

ending.GRACE = 0.2
ending.at_last(Server)
Server().stop()
"""


def test_a_server_that_waits_for_its_visitors_ends_with_0_and_says_all() -> None:
    ended = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "stopping", "")
