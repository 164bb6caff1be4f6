"""The page in a browser, driven as a person would: by what stands on it. Nothing here sleeps."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.app.settings import PageSettings
from tests.browser import Browser

PATIENCE = 90.0  # seconds; a guard against hanging, on a machine with much else to do
Value = TypeVar("Value")


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def page_served(settings: PageSettings, folder: Path) -> Iterator[str]:
    """The page's address, served by a process of its own that sees ``folder`` as its home and everything."""
    code = (
        "import sys; from flmd.app.settings import PageSettings; from flmd.cli.app import serve;"
        "serve(PageSettings.from_arguments(sys.argv[1:]), '127.0.0.1', int(sys.argv[2]))"
    )
    port = free_port()
    with _served([sys.executable, "-c", code, settings.argument(), str(port)], port, folder) as address:
        yield address


@contextmanager
def app_served(options: Sequence[str], folder: Path) -> Iterator[str]:
    """As :func:`page_served`, by the command itself: ``flmd app`` with these options."""
    port = free_port()
    program = str(Path(sys.executable).with_name("flmd"))
    with _served([program, "app", *options, "--port", str(port)], port, folder) as address:
        yield address


@contextmanager
def _served(command: list[str], port: int, folder: Path) -> Iterator[str]:
    places = {name: folder / name for name in ("home", "work", "temporary")}
    for place in places.values():
        place.mkdir()
    environment = {
        **os.environ,
        "HOME": str(places["home"]),
        "TMPDIR": str(places["temporary"]),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=places["work"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for_server(address, server, folder / "log")
            yield address
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_for_server(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    def answers(_: object) -> bool:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    WebDriverWait(None, PATIENCE, 0.1).until(answers)  # type: ignore[arg-type, type-var]


class Page:
    """What a visitor sees and does."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser, self.address = browser, address

    def open(self, *, width: int = 1280, height: int = 1000, dark: bool = False) -> None:
        self.browser.open(self.address, width=width, height=height, dark=dark)
        self.until(lambda: "Where is your picture?" in self.text())
        self.until_done()

    def until(self, condition: Callable[[], Value]) -> Value:
        """Wait until ``condition`` gives something true; what vanishes while it looks does not count."""
        from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
        from selenium.webdriver.support.ui import WebDriverWait

        wait = WebDriverWait(self.browser.driver, PATIENCE, 0.1, [StaleElementReferenceException])
        try:
            return wait.until(lambda _: condition())
        except TimeoutException as error:
            raise AssertionError(f"the page says: {self.text()}") from error

    def until_done(self) -> None:
        """Wait until the script has run to its end."""
        self.until(
            lambda: self.find("[data-testid=stApp]").get_attribute("data-test-script-state") == "notRunning"
        )

    def text(self) -> str:
        return str(self.browser.script("return document.body.innerText"))

    def find(self, css: str):  # type: ignore[no-untyped-def]
        return self.browser.driver.find_element("css selector", css)

    def all(self, css: str):  # type: ignore[no-untyped-def]
        return self.browser.driver.find_elements("css selector", css)

    def click(self, css: str) -> None:
        def clicked() -> bool:
            self.browser.script("arguments[0].click()", self.find(css))
            return True

        self.until(lambda: self.all(css))
        self.until(clicked)

    def way(self, name: str) -> None:
        """Choose where the picture comes from."""
        button = f"//button[contains(., '{name}')]"
        self.until(lambda: self.browser.driver.find_elements("xpath", button))[0].click()

    def choose(self, key: str, option: str) -> None:
        """Choose an option of a list."""
        self.until(lambda: self.all(f".st-key-{key} [role=combobox], .st-key-{key} input"))[0].click()
        listed = f"//*[@role='option'][contains(., '{option}')]"
        self.until(lambda: self.browser.driver.find_elements("xpath", listed))[0].click()
        self.until_done()

    def upload(self, path: Path) -> None:
        """Send a file, in place of the one before."""
        self.until(lambda: self.all("input[type=file]"))[0].send_keys(str(path))
        self.until(lambda: path.name[-8:] in self.text())  # long names are shown without their middle

    def fetch(self, url: str) -> None:
        """Type an address and fetch it."""
        from selenium.webdriver.common.keys import Keys

        # While the script runs, the field may be drawn anew, and what was typed or sent is lost.
        self.until(lambda: self.all("[data-testid=stTextInput] input"))
        self.until_done()
        field = self.find("[data-testid=stTextInput] input")
        field.send_keys(Keys.CONTROL + "a" + Keys.NULL, url)
        self.until(lambda: field.get_attribute("value") == url)
        field.send_keys(Keys.ENTER)

    def message(self, *parts: str) -> str:
        """The message in a coloured box, once it says all of ``parts``."""

        def said() -> str:
            boxes = [box.text for box in self.all("[data-testid=stAlert]")]
            return next((text for text in boxes if all(part in text for part in parts)), "")

        return self.until(said)

    def faces(self, count: int) -> None:
        """Wait for the result with that many faces."""
        shown = "[data-testid=stMetricValue]"
        self.until(lambda: [e.text.strip() for e in self.all(shown)][:1] == [str(count)])
        self.until_done()
        self.until(lambda: all(w > 0 for w in self.browser.picture_widths().values()))

    def result(self) -> int:
        """Wait for what the page says of the picture: how many faces, 0 also where it cannot be used."""
        self.until(lambda: self.all("[data-testid=stMetricValue], [data-testid=stAlert]"))
        self.until_done()
        shown = self.all("[data-testid=stMetricValue]")
        return int(shown[0].text) if shown else 0

    def downloaded(self, key: str, folder: Path) -> Path:
        """Click a download button; the file, once it is there as a whole."""
        self.browser.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
        )
        before = set(folder.iterdir())
        self.click(f".st-key-{key} button")

        def new() -> list[Path]:
            # Chromium holds the name with an empty file while it writes to another beside it.
            found = [path for path in set(folder.iterdir()) - before if not path.name.startswith(".")]
            unfinished = any(path.suffix in (".crdownload", ".tmp") for path in found)
            return [] if unfinished else [path for path in found if path.stat().st_size]

        return self.until(new)[0]

    def picture_on_screen(self, css: str) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """(h, w, 3) RGB of an <img> as it is drawn on the screen, and its (x, y, width, height) in it."""
        import base64

        image = self.until(lambda: self.all(css))[0]
        self.browser.script("arguments[0].scrollIntoView({block: 'center'})", image)
        box = self.browser.script(
            "const r = arguments[0].getBoundingClientRect(); return [r.x, r.y, r.width, r.height]", image
        )
        shot = self.browser.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        pixels = cv2.imdecode(np.frombuffer(base64.b64decode(shot["data"]), np.uint8), cv2.IMREAD_COLOR_RGB)
        return pixels, np.array(box, float)  # type: ignore[return-value]
