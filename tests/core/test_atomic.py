"""Whole or not there: whoever writes beside whom, whoever is killed, whatever does not fit on the disk."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from flmd.core.atomic import Scratch, ScratchFile, move_onto, whole_or_nothing
from flmd.errors import os_error_message

# A writer that says when it has begun, and ends when its standard input does.
WRITER = """
import os, sys
from pathlib import Path
from flmd.core.atomic import whole_or_nothing
if len(sys.argv) > 2:
    os.getpid = lambda: int(sys.argv[2])
with whole_or_nothing(Path(sys.argv[1])) as new:
    new.write_text("new")
    print("writing", os.getpid(), flush=True)
    sys.stdin.read()
"""
PRIVATE_DISKS = ["unshare", "--user", "--map-root-user", "--mount"]
SEPARATE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]


def require(inside: Sequence[str]) -> None:
    """Skip the test where this machine has no such namespaces."""
    if shutil.which(inside[0]) is None or subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces here")


@contextmanager
def writing(target: Path, *arguments: str, inside: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is in the middle of writing ``target``; killed at the end if it is still there."""
    child = subprocess.Popen(
        [*inside, sys.executable, "-c", WRITER, str(target), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        try:
            assert child.stdout.readline().startswith(b"writing")
            yield child
        finally:
            child.kill()
            child.wait()


def finish(child: subprocess.Popen[bytes]) -> int:
    """Let a writer go on to its end; its exit code."""
    assert child.stdin is not None
    child.stdin.close()
    return child.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "x.txt"
    path.write_text("old")
    return path


# Whole, or what was there.


def test_the_old_file_stays_until_the_new_one_is_whole(target: Path) -> None:
    with whole_or_nothing(target) as new:
        assert new.name == target.name  # FFmpeg and others go by the ending
        new.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert names(target.parent) == ["x.txt"]


def test_a_failing_block_leaves_the_old_file(target: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_or_nothing(target) as new:
        new.write_text("new")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert names(target.parent) == ["x.txt"]


def test_a_folder_joins_one_that_is_there_at_any_depth(tmp_path: Path) -> None:
    target = tmp_path / "out"
    (target / "a/b").mkdir(parents=True)
    (target / "a/b/kept").write_text("old")
    (target / "a/b/changed").write_text("old")
    with whole_or_nothing(target) as new:
        (new / "a/b").mkdir(parents=True)
        (new / "a/b/changed").write_text("new")
        (new / "a/c").write_text("new")
    found = {p.relative_to(target).as_posix(): p.read_text() for p in target.rglob("*") if p.is_file()}
    assert found == {"a/b/kept": "old", "a/b/changed": "new", "a/c": "new"}
    assert names(tmp_path) == ["out"]


def test_the_current_folder_can_be_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with whole_or_nothing(Path()) as new:
        new.mkdir()
        (new / "a").write_text("new")
    assert names(tmp_path) == ["a"]


def test_a_new_file_has_the_mode_that_any_other_has(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with whole_or_nothing(tmp_path / "x") as new:
        new.write_text("")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


# Killed writers, and living ones.


def test_a_killed_writer_leaves_the_old_file_and_the_next_one_cleans_up(target: Path) -> None:
    with writing(target), writing(target):
        pass  # both are killed
    assert target.read_text() == "old"
    assert names(target.parent) == [".x.txt.0.tmp", ".x.txt.1.tmp", "x.txt"]
    with whole_or_nothing(target) as new:
        assert names(new.parent) == []
        new.write_text("new")
    assert names(target.parent) == ["x.txt"]


def test_a_living_writer_is_left_alone(target: Path) -> None:
    with writing(target) as child:
        with whole_or_nothing(target) as new:
            new.write_text("ours")
        assert target.read_text() == "ours"
        assert finish(child) == 0
    assert target.read_text() == "new"
    assert names(target.parent) == ["x.txt"]


def test_writers_with_one_process_number_do_not_disturb_each_other(target: Path) -> None:
    with writing(target, "7") as one, writing(target, "7") as two:
        assert len(names(target.parent)) == 3
        assert finish(two) == 0
        assert finish(one) == 0
    assert target.read_text() == "new"
    assert names(target.parent) == ["x.txt"]


def test_containers_that_share_a_disk_do_not_disturb_each_other(target: Path) -> None:
    require(SEPARATE)
    with writing(target, inside=SEPARATE) as one, writing(target, inside=SEPARATE) as two:
        assert finish(one) == 0
        assert finish(two) == 0
    assert target.read_text() == "new"
    assert names(target.parent) == ["x.txt"]


def test_a_number_that_lives_again_does_not_keep_what_its_first_owner_left(target: Path) -> None:
    with writing(target, str(os.getpid())):
        pass
    with whole_or_nothing(target) as new:
        new.write_text("new")
    assert names(target.parent) == ["x.txt"]


def test_a_forked_child_removes_nothing(tmp_path: Path) -> None:
    with Scratch(tmp_path, "x") as scratch:
        child = os.fork()
        if child == 0:
            scratch.discard()
            os._exit(0)
        os.waitpid(child, 0)
        assert scratch.folder.is_dir()
    assert names(tmp_path) == []


def test_a_folder_that_was_being_replaced_is_put_back(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "a").write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path; from flmd.core.atomic import Scratch\n"
        "scratch = Scratch(Path(sys.argv[1]), 'out'); new = scratch.folder / 'out'; new.mkdir()\n"
        "rename = Path.rename\n"
        "def stop(self, to):\n"
        "    if self == new: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return rename(self, to)\n"
        "Path.rename = stop\n"
        "scratch.replace_folder(new, Path(sys.argv[1]) / 'out')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -signal.SIGKILL
    assert names(tmp_path) == [".out.0.tmp"]
    with Scratch(tmp_path, "out") as scratch:
        assert (target / "a").read_text() == "old"
        new = scratch.folder / "out"
        new.mkdir()
        scratch.replace_folder(new, target)
    assert names(tmp_path) == ["out"]
    assert names(target) == []


# Scratch space for as long as an object lives.


def test_scratch_goes_with_its_object(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, "x")
    file = ScratchFile(tmp_path, "x")
    file.stream.write(b"1")
    assert names(tmp_path) == [".x.0.tmp", ".x.1.tmp"]
    del scratch, file
    assert names(tmp_path) == []


def test_without_locks_nothing_of_others_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", none)
    one, two = Scratch(tmp_path, "x"), Scratch(tmp_path, "x")
    assert one.folder.is_dir()
    assert two.folder.is_dir()
    one.discard()
    two.discard()
    assert names(tmp_path) == []


def test_a_place_that_another_user_made_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere/new").mkdir(parents=True)
    (tmp_path / "elsewhere/new/kept").write_text("")
    (tmp_path / ".x.0.tmp").symlink_to("elsewhere")
    with Scratch(tmp_path, "x") as scratch:
        assert scratch.folder == tmp_path / ".x.1.tmp/new"
    mine = os.geteuid()
    (tmp_path / ".x.1.tmp/new").mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with Scratch(tmp_path, "x") as scratch:
        assert scratch.folder == tmp_path / ".x.2.tmp/new"
    assert names(tmp_path) == [".x.0.tmp", ".x.1.tmp", "elsewhere"]
    assert (tmp_path / "elsewhere/new/kept").exists()


# What cannot be written.


def test_a_full_disk_names_the_target(target: Path) -> None:
    with pytest.raises(OSError, match=str(target)) as caught, whole_or_nothing(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os_error_message(caught.value).startswith(f"{target}: the disk is full")
    assert names(target.parent) == ["x.txt"]


def test_a_really_full_disk_leaves_nothing(tmp_path: Path) -> None:
    require(PRIVATE_DISKS)
    code = (
        "import os, sys; from pathlib import Path; from flmd import errors\n"
        "from flmd.core.atomic import whole_or_nothing\n"
        "def write():\n"
        "    with whole_or_nothing(Path('disk/x')) as new: new.write_bytes(bytes(1 << 20))\n"
        "code = errors.run(write); print(code, os.listdir('disk'))\n"
    )
    script = 'mount -t tmpfs -o size=256k none disk && exec "$@"'
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        [*PRIVATE_DISKS, "sh", "-c", script, "sh", sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout == "2 []\n"
    assert done.stderr.startswith("error: disk/x: the disk is full")


def test_a_folder_that_cannot_be_written_to_is_named_by_the_target(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), whole_or_nothing(tmp_path / "file" / "x"):
        pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught, whole_or_nothing(tmp_path / "folder") as new:
        new.write_text("")
    assert caught.value.filename == str(tmp_path / "folder")
    assert names(tmp_path) == ["file", "folder"]


def test_links_are_moved_as_links(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "from/link").symlink_to("nowhere")
    move_onto(tmp_path / "from", tmp_path / "to")
    assert (tmp_path / "to/link").readlink() == Path("nowhere")
