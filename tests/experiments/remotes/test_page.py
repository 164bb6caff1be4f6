"""docs/remotes.md: DVC takes every command of it, `verify` is always set, and no secret comes to git."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SECRETS = {"password", "token", "access_key_id", "secret_access_key", "keyfile", "passphrase"}


def sections() -> dict[str, list[str]]:
    """Heading -> its `dvc remote` commands, of the pages that tell a user how to set one up."""
    found: dict[str, list[str]] = {}
    for page in ("docs/remotes.md", "README.md"):
        for part in re.split(r"^## ", (ROOT / page).read_text(), flags=re.MULTILINE):
            commands = re.findall(r"^    (dvc remote .*)$", part, flags=re.MULTILINE)
            if commands:
                found[part.partition("\n")[0]] = commands
    return found


@pytest.mark.parametrize("section", sections())
def test_the_commands_work_verify_is_set_and_secrets_stay_out_of_git(
    section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dvc.cli import main

    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / ".gitignore", tmp_path / ".dvc")
    (tmp_path / ".dvc" / "config").touch()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for command in sections()[section]:
        code = main(shlex.split(command, comments=True)[1:])
        assert code == 0, f"{command}: {capsys.readouterr().err}"
    shared = configparser.ConfigParser()
    shared.read(tmp_path / ".dvc" / "config")
    remotes = [name for name in shared.sections() if "remote" in name]
    assert remotes
    for name in remotes:
        assert shared[name]["verify"] == "true"
        assert not SECRETS & set(shared[name])
        assert "@" not in shared[name]["url"]
    ignored = subprocess.run(["git", "check-ignore", "-q", ".dvc/config.local"], check=False)
    assert ignored.returncode == 0


def test_the_page_has_every_kind_of_remote() -> None:
    told = "\n".join(command for commands in sections().values() for command in commands)
    for address in (" /mnt/", " s3://", " ssh://", " webdavs://", " https://"):
        assert f"dvc remote add -d team{address}" in told or f"dvc remote add data{address}" in told
