"""Real headless Chromium for tests of pages: what it loaded, logged and drew. Nothing leaves this machine.

Debian has both programs (packages `chromium` and `chromium-driver`); where one is missing, the fixture
`browser` of tests/conftest.py skips the test and says so. Selenium is given both paths, so that it looks for
nothing itself, and the browser resolves no name but localhost.

Example
-------
>>> def test_a_page(browser: Browser, tmp_path: Path) -> None:
...     browser.open(tmp_path / "page.html", dark=True)     # or "http://127.0.0.1:8501"
...     assert browser.errors() == []
...     assert browser.requests_elsewhere() == []
...     assert all(width > 0 for width in browser.picture_widths().values())
...     browser.screenshot(tmp_path / "page.png")
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

CHROMIUM = "/usr/bin/chromium"
DRIVER = "/usr/bin/chromedriver"
FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    # On a busy machine a page of low priority gets no time, and pages that were left keep 200 MiB each.
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--disable-features=BackForwardCache",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
LOCAL = ("127.0.0.1", "localhost")


class Browser:
    """One window. ``driver`` is Selenium's own, for clicks and typing."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self._events: list[dict[str, Any]] = []
        self._logged: list[dict[str, Any]] = []

    def open(self, page: Path | str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load a file or an address and wait for its ``load`` event; what was logged before is forgotten."""
        self.driver.get("about:blank")
        self._collect()
        self._events, self._logged = [], []
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(page.resolve().as_uri() if isinstance(page, Path) else page)

    def script(self, text: str, *arguments: object) -> Any:
        """Run JavaScript and return what it returns."""
        return self.driver.execute_script(text, *arguments)

    def errors(self) -> list[str]:
        """The console's errors since :meth:`open`: exceptions, and files that did not load."""
        self._collect()
        return [entry["message"] for entry in self._logged if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """The addresses the page asked for since :meth:`open`, itself first; also web sockets."""
        self._collect()
        found = []
        for event in self._events:
            if event["method"] == "Network.requestWillBeSent":
                found.append(event["params"]["request"]["url"])
            elif event["method"] == "Network.webSocketCreated":
                found.append(event["params"]["url"])
        return found

    def requests_elsewhere(self) -> list[str]:
        """Those of :meth:`requests` that are neither the opened page, within it (data:), nor on localhost."""
        page = self.driver.current_url.partition("#")[0]

        def is_here(address: str) -> bool:
            parts = urlsplit(address)
            return (
                parts.scheme in ("data", "blob", "about", "chrome")
                or parts.hostname in LOCAL
                or address.partition("#")[0] == page
            )

        return [address for address in self.requests() if not is_here(address)]

    def picture_widths(self) -> dict[str, int]:
        """Alternative text (or place) of every <img> -> its natural width, px; 0 where it did not load."""
        found = self.script(
            "return [...document.images].map((i, n) => [i.alt || '#' + n, i.complete ? i.naturalWidth : 0])"
        )
        return dict(found)

    def overflow(self) -> int:
        """How many px of the page lie outside the window to the right."""
        root = "document.documentElement"
        return int(self.script(f"return {root}.scrollWidth - {root}.clientWidth"))

    def screenshot(self, target: Path) -> None:
        """The whole page as a PNG, also what lies below the window."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        target.write_bytes(base64.b64decode(shot["data"]))

    def _collect(self) -> None:
        """Selenium hands out every line of a log once."""
        self._logged += self.driver.get_log("browser")
        self._events += [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Start Chromium with an empty profile, and end it. Skips the test where that is not possible.

    ``flags`` are Chromium's, besides FLAGS: a camera, for one.
    """
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: `make setup`")
    for program in (CHROMIUM, DRIVER):
        if shutil.which(program) is None:
            pytest.skip(f"no {program}: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(prefix="flmd-chromium-", ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, *flags, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # Chromium's sandbox does not run as root
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
        try:
            driver.set_page_load_timeout(60)
            yield Browser(driver)
        finally:
            driver.quit()
