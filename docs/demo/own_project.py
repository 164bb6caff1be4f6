"""From an empty folder and the wheel to a report on one's own data: writes docs/your-own-project.md.

    python docs/demo/own_project.py [--pictures DIR] [--out FILE] [--keep DIR]

Works offline. The wheel is built from this checkout and installed into a new environment, whose other
packages are those of the environment that runs this. What the page shows is what the commands printed.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import venv
from pathlib import Path

import common
from common import ROOT

PICTURES = ROOT.parent / "shared" / "data" / "formats" / "mmpose_coco" / "wflw"
HEAD = """# A project of your own

*`make demo-own-project` (docs/demo/own_project.py) wrote this page, without a network. It built the wheel,
installed it into a new environment, and ran the commands below in this order. Under each command stands what
it printed; only names of commits became `COMMIT`, and DVC's advice on what to type next was left out. The
faces are 40 of the sample and 4 of WFLW, the network is tiny and trains for two epochs: the numbers say
nothing about faces.*

A project is a folder with a `params.yaml`, a `dvc.yaml` and your data. It holds no code: its stages run the
flmd that is installed.
"""


class Demo:
    """A folder with an environment that has flmd from its wheel, and the transcript so far."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, folder
        self.lines: list[str] = []
        self.bin = folder / "environment" / "bin"

    def install(self) -> None:
        """Build the wheel, and install it into a new environment beside the packages that are here."""
        build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
        subprocess.run(
            [*build, "--directory", str(self.folder / "dist")], cwd=ROOT, check=True, capture_output=True
        )
        (wheel,) = (self.folder / "dist").glob("*.whl")
        place = self.bin.parent
        venv.create(place, with_pip=False, symlinks=True)
        python = str(self.bin / "python")
        (own,) = place.glob("lib/python*/site-packages")
        # A line of a .pth is a folder of packages; the .pth files in there, such as flmd's own, are not read.
        (own / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
        ]
        subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True)

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the user's own settings, and no path of a checkout."""
        own = ("GIT_", "DVC_", "PYTHON", "FLMD_")
        path = [str(self.bin), str(Path(sys.executable).parent), os.environ["PATH"]]
        return {**common.environment("ann", self.folder / "site", own), "PATH": os.pathsep.join(path)}

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the place that the story is at; what it prints on both streams is its output."""
        return subprocess.run(
            shlex.split(command),
            cwd=self.place,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def quietly(self, command: str) -> None:
        """Run a command that the page does not show."""
        done = self.run(command)
        if done.returncode:
            sys.exit(f"{command} exited {done.returncode}:\n{done.stdout}")

    def say(self, text: str) -> None:
        """A paragraph of the page."""
        self.lines += ["", *textwrap.wrap(text, 110, break_on_hyphens=False)]

    def show(self, *commands: str, code: int = 0) -> None:
        """Run commands; they and what they print go to the page. Ends the demo at another exit code."""
        self.lines += ["", "```console"]
        for command in commands:
            print(f"$ {command}", flush=True)
            self.lines.append(f"$ {command}")
            words = shlex.split(command)
            if words[0] == "cd":
                self.place = self.place / words[1]
                continue
            done = self.run(command)
            if done.returncode != code:
                sys.exit(f"{command} exited {done.returncode}:\n{done.stdout}")
            self.lines += [line.rstrip() for line in clean(done.stdout).splitlines()]
        self.lines.append("```")


def clean(text: str) -> str:
    """The output of a command without what differs between two runs (see HEAD)."""
    text = re.sub(r"\[[0-9a-f]{7,40}\]", "[COMMIT]", text)
    text = re.sub(r"\n*To (track|enable)[^\n]*(\n\n?\t[^\n]*)+", "\n", text)
    text = text.replace("Use `dvc push` to send your updates to remote storage.\n", "")
    return re.sub(r"\n{2,}", "\n", text).strip("\n")


def tell(demo: Demo) -> None:
    """The story; every command of it runs."""
    demo.say("## Make it")
    demo.show("flmd init faces", "cd faces", "git add -A", "git commit -q -m 'A new project'")
    demo.say(
        "Two data sets stand in `params.yaml`, both drawn by a program, so that everything works at once and "
        "offline. One of them is enough beside your own. (For this page the settings are also made small.)"
    )
    demo.show("flmd dataset remove youtube_faces")
    common.put(demo.place / "params.yaml", common.SMALL)
    demo.say("## Add your data")
    demo.say(
        "Here these are pictures of WFLW with 98 points each, in COCO's JSON. The first faces are read "
        "before anything is written. Their points are mapped to the 68 of the store (`convert.scheme`)."
    )
    demo.show("flmd dataset add wflw ../pictures --val 0", "flmd dataset list")
    demo.say("A source that will not do is refused at once:")
    demo.show("flmd dataset add other ../pictures/test_wflw.json", code=2)
    demo.say("## Run it")
    demo.show("dvc repro")
    demo.show("flmd show", "flmd report")
    demo.say(
        "`reports/report.html` shows the numbers, curves and galleries in one file. Nothing is left to do:"
    )
    demo.show("dvc repro")
    demo.say("## Try a recipe")
    demo.say(
        "A recipe is a whole system: network, augmentation and training. What it says of data sets that this "
        "project does not have is left out."
    )
    demo.show("git add -A", "git commit -q -m 'First run'", "flmd recipe apply fast")
    demo.quietly("git checkout -q params.yaml")
    demo.say("## Another flmd")
    demo.say(
        "`flmd.version` names the flmd that the results were made with, and every stage depends on it. With "
        "another one installed, a stage does not run, and says what to do. (The file was spoilt by hand.)"
    )
    version = demo.place / "flmd.version"
    text = version.read_text(encoding="utf-8")
    version.write_text(text.replace(text.split()[-1], "0" * 64), encoding="utf-8")
    demo.show("flmd stage merge", code=2)
    demo.show("flmd init --accept .")


def main() -> None:
    """Run the demo and write the page when all went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=Path, default=PICTURES)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "your-own-project.md")
    parser.add_argument("--keep", type=Path, help="a new folder for the project, kept afterwards")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flmd-own-") as name:
        folder = arguments.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        demo = Demo(folder.resolve())
        demo.install()
        shutil.copytree(arguments.pictures, demo.folder / "pictures")
        tell(demo)
        page = "\n".join([HEAD.rstrip("\n"), *demo.lines]) + "\n"
        arguments.out.write_text(page.replace(str(demo.folder), "/home/ann"), encoding="utf-8")
    print(f"{arguments.out} written")


if __name__ == "__main__":
    main()
