"""How long `dvc pull` takes beside a copy of the same bytes: `python -m benchmarks.pull [--mib 1000]`.

Folder remote against `cp`, SSH remote against `scp` (needs sshd). The project is a few random files; what is
timed is each whole command, from an empty cache and an empty working tree, in turns; medians.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.experiments.remotes import servers
from tests.experiments.remotes.clones import Clone

FILES = 5  # as many large files as the pipeline makes
TYPES = ("copy", "reflink,hardlink,copy")
TARGET = 1.5


def project(folder: Path, mib: float) -> Clone:
    """A DVC project with FILES files of together ``mib``."""
    folder.mkdir()
    made = Clone(folder)
    made.run("git", "init", "-q")
    made.run("dvc", "init", "-q")
    (folder / "data").mkdir()
    for i in range(FILES):
        with (folder / "data" / f"{i}.bin").open("wb") as file:
            left = int(mib * 2**20 / FILES)
            while left:
                left -= file.write(os.urandom(min(left, 1 << 22)))
    made.run("dvc", "add", "-q", *[f"data/{i}.bin" for i in range(FILES)])
    made.run("git", "add", "-A")
    made.run("git", "commit", "-q", "-m", "data")
    return made


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds, and the CPU seconds of the processes it started."""
    before, start = os.times(), time.perf_counter()
    action()
    wall, after = time.perf_counter() - start, os.times()
    cpu = sum(getattr(after, k) - getattr(before, k) for k in ("children_user", "children_system"))
    return wall, cpu


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mib", type=float, nargs="+", default=[5, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="On the disk to measure.")
    asked = parser.parse_args()
    print("| remote, MiB | copy, s | cache.type | dvc pull, s | ratio | CPU s: copy, pull |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=asked.folder)))
        kinds: dict[str, servers.Server] = {"folder": servers.FolderServer(base / "folder")}
        if servers.sshd_path():
            kinds["ssh"] = stack.enter_context(servers.ssh_server(base / "ssh"))
        for mib in asked.mib:
            origin = project(base / f"origin{mib:g}", mib)
            for kind, server in kinds.items():
                remote = server.remote(f"of{mib:g}")
                origin.use(remote)
                origin.run("dvc", "push", "-q")
                assert isinstance(remote.contents, servers.Folder)
                row(base, kind, mib, origin, remote, remote.contents.root, asked.rounds)


def row(
    base: Path, kind: str, mib: float, origin: Clone, remote: servers.Remote, stored: Path, rounds: int
) -> None:
    """Copy and pull in turns, and print their medians."""
    copies: list[tuple[float, float]] = []
    pulls: dict[str, list[tuple[float, float]]] = {kind: [] for kind in TYPES}
    copy = ["cp", "-r", str(stored), str(base / "copied")]
    if kind == "ssh":
        port = remote.url.split(":")[2].partition("/")[0]
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-q", "-r"]
        copy = ["scp", *options, "-i", remote.secrets["keyfile"], "-P", port, f"127.0.0.1:{stored}", copy[-1]]
    for _ in range(rounds):
        copies.append(timed(lambda: subprocess.run(copy, check=True)))
        shutil.rmtree(base / "copied")
        for types, found in pulls.items():
            clone = origin.clone(base / "clone")
            clone.use(remote)
            with (clone.folder / ".dvc" / "config.local").open("a") as config:
                config.write(f"[cache]\n    type = {types}\n")
            found.append(timed(lambda clone=clone: clone.run("dvc", "pull", "-q")))  # type: ignore[misc]
            assert len(list((clone.folder / "data").glob("*.bin"))) == FILES
            shutil.rmtree(clone.folder)
            shutil.rmtree(base / "clone.site", ignore_errors=True)
    for types, found in pulls.items():
        wall, cpu = (statistics.median(column) for column in zip(*copies, strict=True))
        pull_wall, pull_cpu = (statistics.median(column) for column in zip(*found, strict=True))
        print(
            f"| {kind}, {mib:g} | {wall:.2f} | {types} | {pull_wall:.2f} | {pull_wall / wall:.2f} "
            f"| {cpu:.2f}, {pull_cpu:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
