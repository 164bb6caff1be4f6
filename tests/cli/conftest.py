"""The command as a user calls it, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from flmd.cli import flmd_data as command


class Outcome(NamedTuple):
    """Exit code and output of one call."""

    code: int
    out: str
    err: str


@pytest.fixture
def flmd_data(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`flmd-data` with some arguments."""

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["flmd-data", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            command.main()
        return Outcome(int(ended.value.code or 0), *capsys.readouterr())

    return call
