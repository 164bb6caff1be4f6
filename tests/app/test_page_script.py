"""The page's script without a browser: what it asks of the network, and what it shows when it fails."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("streamlit")
from streamlit.testing.v1 import AppTest

from flmd.app import fetch, inputs, page, results, turns
from flmd.app.settings import PageSettings
from tests.app.made_model import make_model
from tests.app.picture_server import body, picture_server

PATIENCE = 120  # seconds; a guard against hanging


def script(argument: str) -> None:
    from flmd.app.page import run_with

    run_with(argument)


def shown(settings: PageSettings) -> AppTest:
    return AppTest.from_function(script, args=(settings.argument(),), default_timeout=PATIENCE).run()


@pytest.fixture(autouse=True)
def main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit takes the place of ``__main__``, which processes that later tests start would run again."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PageSettings:
    monkeypatch.chdir(tmp_path)
    return PageSettings(models=(str(make_model(tmp_path / "tiny.pt")),))


def test_the_page_does_not_call_this_machine(settings: PageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    with picture_server({"/face.png": body(b"secret")}) as server:
        monkeypatch.setattr(fetch, "ALLOWED_PORTS", {server.port})
        at = shown(settings)
        at.button_group[0].set_value("address").run()
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            at.text_input[0].set_value(server.url("/face.png", host=host))
            at.button[0].click().run()
            assert "not a server on the public internet" in at.error[0].value.replace("\\", "")
        assert server.calls == []


def test_a_failure_of_the_page_is_a_sentence(
    settings: PageSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("secret of the server")

    monkeypatch.setattr(inputs, "picture", fails)
    at = shown(settings)
    assert [error.value for error in at.error] == [page.FAILED]
    assert not at.exception
    assert "secret of the server" in caplog.text


def test_without_a_model_the_page_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "There is no model here" in shown(PageSettings()).error[0].value


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04"])
def test_a_file_that_is_no_model_is_said(settings: PageSettings, tmp_path: Path, content: bytes,
                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (tmp_path / "broken.pt").write_bytes(content)
    monkeypatch.setattr(inputs, "picture", lambda _: inputs.Sent(b"x", "x.png"))
    monkeypatch.setattr(results, "show", lambda *_: pytest.fail("shown"))
    at = shown(PageSettings(models=("broken.pt",)))
    assert at.error[0].value == "The model broken\\.pt cannot be used. Choose another one."
    assert str(tmp_path) not in at.error[0].value


def test_yunet_is_offered_with_its_file_only(settings: PageSettings, tmp_path: Path) -> None:
    assert len(shown(settings).selectbox(key="detector").options) == 2
    with_file = PageSettings(models=settings.models, yunet=str(tmp_path / "y.onnx"))
    assert "YuNet: faces at any angle" in shown(with_file).selectbox(key="detector").options


def grey_picture() -> inputs.Sent:
    return inputs.Sent(cv2.imencode(".png", np.full((90, 80, 3), 90, np.uint8))[1].tobytes(), "x.png")


def test_a_visitor_who_would_wait_too_long_is_told_so_and_may_try_again(
    settings: PageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = turns.Turns(at_once=1, waiting=0)
    monkeypatch.setattr(turns, "TURNS", queue)
    monkeypatch.setattr(inputs, "picture", lambda _: grey_picture())
    with queue.turn():
        at = shown(settings)
    assert [warning.value for warning in at.warning] == [page.BUSY]
    at.button(key="try_again").click().run()
    assert not at.exception
    assert [warning.value[:17] for warning in at.warning] == ["No face was found"]
    with queue.turn():  # it was given back
        pass


def test_no_pixels_stay_in_memory_between_two_looks(
    settings: PageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of 50 megapixels has 150 MB, and the server remembers visitors for minutes."""
    monkeypatch.setattr(inputs, "picture", lambda _: grey_picture())
    at = shown(settings)
    kept = pickle.dumps(at.session_state["analysis"])
    assert len(kept) < 90 * 80 * 3
