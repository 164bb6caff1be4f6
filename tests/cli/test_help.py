"""The help of the two commands: quick, and true to the commands."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from flmd.cli import flmd_data

HEAVY = {
    "PIL",
    "albumentations",
    "cv2",
    "dvc",
    "h5py",
    "matplotlib",
    "numpy",
    "pandas",
    "pydantic",
    "scipy",
    "torch",
}


@pytest.mark.parametrize("command", ["flmd", "flmd_data"])
def test_help_waits_for_nothing_heavy(command: str) -> None:
    """What takes long to load is loaded by the command that needs it."""
    code = (
        f"import sys; from flmd.cli.{command} import main; sys.argv = ['flmd', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('loaded', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Commands" in done.stdout
    assert not HEAVY & set(done.stdout.partition("loaded")[2].split())


@pytest.mark.parametrize("name", flmd_data.COMMANDS)
def test_the_line_in_the_help_is_the_commands_own(name: str) -> None:
    where, line = flmd_data.COMMANDS[name]
    module, _, function = where.partition(":")
    said = inspect.getdoc(getattr(import_module(module), function))
    assert said is not None
    assert said.partition("\n")[0] == line


def test_a_shell_can_ask_for_the_options_of_any_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FLMD_DATA_COMPLETE", "complete_bash")
    for command in flmd_data.app_for([]).registered_commands:
        assert command.callback is not None
        assert command.callback.__module__ != "flmd.cli.flmd_data"
