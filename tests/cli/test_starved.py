"""A full disk and too few open files: exit code 2, one line, nothing changed."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import yaml

from flmd.cli import flmd as trainer
from flmd.cli import flmd_data
from flmd.formats import get
from flmd.schemes import IBUG68
from tests.factories import convert_list, make_face, write_picture

PROGRAMS = {"flmd": trainer.main, "flmd-data": flmd_data.main}
# The command, and its target where one may be there already. {in} holds a store and a list.
WRITERS = [
    ("flmd-data convert {in}/labels.xml {out}/a.h5 --overwrite --workers 1", "a.h5"),
    ("flmd-data merge {in}/s.h5 {in}/s.h5 -o {out}/b.h5 --overwrite", "b.h5"),
    ("flmd-data split {in}/s.h5 --by image -o {out}/c.h5 --overwrite", "c.h5"),
    ("flmd-data preview {in}/s.h5 -o {out}/d.png --overwrite", "d.png"),
    ("flmd-data audit {in}/s.h5 --html {out}/e.html", "e.html"),
    ("flmd-data convert {in}/s.h5 {out}/f.xml --to dlib-xml --overwrite", "f.xml"),
    ("flmd-data convert {in}/s.h5 {out}/g.zip --to pts --overwrite", "g.zip"),
    ("flmd-data convert {in}/s.h5 {out}/h --to lapa", ""),
    ("flmd-data convert {in}/s.h5 {out}/i --to hf-dataset", ""),
    ("flmd init {out}/j", ""),
    ("flmd train {in}/s.h5 --params {in}/params.yaml --workers 1 --out {out}/k/l", ""),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    faces = [make_face(f"{i}.png", seed=i, split=("train", "val", "test")[i]) for i in range(3)]
    for face in faces:
        write_picture(folder / face.image, np.full((90, 90, 3), 90, np.uint8))
    convert_list(folder, faces, folder / "s.h5", size=32)[1].close()
    get("dlib-xml").write(faces, folder / "labels.xml", IBUG68)
    settings = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))
    settings["train"]["cpu"] = "native"  # what this process has loaded
    (folder / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder


@contextlib.contextmanager
def at_most(kind: int, most: int) -> Iterator[None]:
    """A limit on this process; a write beyond one on the size of files fails, as one on a full disk does."""
    before = resource.getrlimit(kind)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(kind, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)
        signal.signal(signal.SIGXFSZ, handler)


def ended(
    line: str, source: Path, out: Path, limit: contextlib.AbstractContextManager[None]
) -> tuple[int, str]:
    """Exit code and what is said on stderr of a command under a limit."""
    program, *arguments = line.replace("{in}", str(source)).replace("{out}", str(out)).split()
    said, argv, sys.argv = io.StringIO(), sys.argv, [program, *arguments]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said), limit:
            PROGRAMS[program]()
    except SystemExit as end:
        return int(end.code or 0), said.getvalue()
    finally:
        sys.argv = argv
    raise AssertionError


@pytest.mark.parametrize(("line", "old"), WRITERS)
def test_a_full_disk_is_one_line_and_changes_nothing(
    line: str, old: str, source: Path, tmp_path: Path
) -> None:
    if old:
        (tmp_path / old).write_text("old")
    code, said = ended(line, source, tmp_path, at_most(resource.RLIMIT_FSIZE, 1200))
    assert (code, said.count("error: "), said.splitlines()[-1][:7]) == (2, 1, "error: "), said
    assert str(tmp_path / old) in said
    assert "Traceback" not in said
    assert [p.name for p in tmp_path.iterdir()] == [old][: len(old)]
    assert not old or (tmp_path / old).read_text() == "old"


@pytest.mark.parametrize("line", ["flmd-data validate {in}/s.h5", WRITERS[1][0], WRITERS[3][0]])
def test_too_many_open_files_name_one_and_say_what_to_do(line: str, source: Path, tmp_path: Path) -> None:
    assert ended(line, source, tmp_path, contextlib.nullcontext())[0] in (0, 1)  # all is imported
    made = sorted(tmp_path.iterdir())
    spare = os.dup(0)  # the lowest number that is free
    os.close(spare)
    code, said = ended(line, source, tmp_path, at_most(resource.RLIMIT_NOFILE, spare + 3))
    assert code == 2
    assert said.startswith(f"error: {source / 's.h5'}: too many open files; raise the limit (ulimit -n)"), (
        said
    )
    assert said.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == made


@pytest.mark.parametrize("line", [WRITERS[1][0], WRITERS[3][0], "flmd-data validate {in}/s.h5"])
def test_a_user_who_may_not_write_or_read_is_told_so_in_one_line(
    line: str, source: Path, tmp_path: Path
) -> None:
    """As another user, without a home: root may write anywhere."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    assert ended(line, source, tmp_path, contextlib.nullcontext())[0] in (0, 1)  # all is imported
    with tempfile.TemporaryDirectory() as name:  # pytest's folders are root's alone
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "out").mkdir(mode=0o755)
        store = Path(shutil.copy(source / "s.h5", folder))
        store.chmod(0o644 if "{out}" in line else 0o600)
        program, *arguments = line.replace("{in}", str(folder)).replace("{out}", str(folder / "out")).split()
        child = os.fork()
        if not child:
            _as_nobody(PROGRAMS[program], [program, *arguments], folder / "said")
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        lines = (folder / "said").read_text().splitlines()
        assert (code, len(lines)) == (2, 1), lines
        assert lines[0].startswith(f"error: {folder}")
        assert "ermission denied" in lines[0]
        assert not list((folder / "out").iterdir())


def _as_nobody(main: Callable[[], None], arguments: list[str], said: Path) -> NoReturn:
    """Run a command in this child process, and end it."""
    code = 99
    try:
        sys.stderr = said.open("w")
        os.environ["HOME"] = "/nonexistent"
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        sys.argv = arguments
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)
