"""Two clones, one remote, two experiments and their difference: runs it all and writes docs/sharing.md.

    python docs/demo/sharing.py [--out docs/sharing.md]

Works offline, in a temporary folder, with the built-in sample and small settings. What the page shows is
what the commands printed, with the changes that its first lines name.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import common
from common import ROOT

HEAD = """# Sharing: two people, one remote

*`make demo-sharing` (docs/demo/sharing.py) wrote this page. Anyone can run it without a network. It ran the
commands below in this order, and under each command stands what it printed. Two things were changed: the
names of git commits, which differ each time, became `COMMIT`, and DVC's advice on what to type next was
left out. The numbers are those of a tiny sample and two epochs; they say nothing about faces.*

Ann trains on a machine with a GPU, Ben has a laptop, and Carl has another project. `team.git` stands for
the team's git server and `remote` for its S3 bucket, SSH host or WebDAV folder; [remotes.md](remotes.md) has
the commands for those.
"""
NOTE = "sed -n '/^deps/,/rev_lock/p' data/anns.h5.dvc"  # without digests that differ each time


class Demo:
    """A temporary folder with a git server and a remote, and the transcript so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []

    def environment(self, place: Path) -> dict[str, str]:
        """Nothing of the user's own settings; the Python and the flmd that run this."""
        return {
            **common.environment(place.name, self.folder / "site" / place.name),
            "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(place), str(ROOT)]),  # Carl's project has no code of its own
        }

    def quietly(self, place: Path, *command: str) -> str:
        """Run a command that the page does not show; its output."""
        done = subprocess.run(
            command, cwd=place, env=self.environment(place), capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout + done.stderr

    def say(self, text: str) -> None:
        """A paragraph of the page."""
        self.lines += ["", text]

    def show(self, who: str, *commands: str) -> None:
        """Run commands as one of the two; they and what they print go to the page."""
        self.lines += ["", "```console"]
        for command in commands:
            print(f"{who}$ {command}", flush=True)
            self.lines.append(f"{who}$ {command}")
            said = self.quietly(self.folder / who, *shlex.split(command))
            self.lines += [line.rstrip() for line in clean(said).splitlines()]
        self.lines.append("```")


def clean(text: str) -> str:
    """The output of a command without what differs between two runs (see HEAD)."""
    text = re.sub(r"\[[0-9a-f]{7,40}\]", "[COMMIT]", text)
    text = re.sub(r"rev_lock: [0-9a-f]{40}", "rev_lock: COMMIT", text)
    text = re.sub(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7}\b", "COMMIT", text)
    text = re.sub(r"\n+To (track|enable|apply|promote|create)[^\n]*(\n\n?\t[^\n]*)+", "\n", text)
    return re.sub(r"\n{2,}", "\n", text).strip("\n")


def project(demo: Demo) -> None:
    """The team's git repository: this project as it is committed or not, with small settings."""
    server, work = demo.folder / "team.git", demo.folder / "setup"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(work)], check=True)
    common.put(work / "params.yaml", {**common.SMALL, "datasets.youtube_faces.source": {"sample": 30}})
    (work / "dvc.lock").unlink(missing_ok=True)
    (work / ".dvc" / "config").write_text("[core]\n    check_update = false\n", encoding="utf-8")
    demo.quietly(work, "git", "checkout", "-q", "-B", "main")
    demo.quietly(work, "git", "add", "-A")
    demo.quietly(work, "git", "commit", "-q", "-m", "Small settings")
    demo.quietly(work, "git", "clone", "-q", "--bare", str(work), str(server))


def tell(demo: Demo) -> None:
    """The story; every command of it runs."""
    demo.quietly(demo.folder, "git", "clone", "-q", "team.git", "ann")
    demo.say("## Ann sets up the remote and runs the pipeline")
    demo.say("This is done once: it says where the bytes lie, and that what comes from there is checked.")
    demo.show("ann", f"dvc remote add -d team {demo.folder}/remote", "dvc remote modify team verify true")
    demo.show("ann", "dvc repro")
    demo.show(
        "ann",
        "git add -A",
        "git commit -q -m 'Baseline'",
        "dvc push",
        "git push -q origin main",
    )
    demo.say("## Ann tries a smaller learning rate")
    demo.show("ann", "dvc exp run -q -n small-lr -S train.lr=1e-4", "dvc exp push origin small-lr")
    demo.say("## Ben gets everything, and computes nothing")
    demo.quietly(demo.folder, "git", "clone", "-q", "team.git", "ben")
    demo.show("ben", "dvc pull", "dvc repro")
    demo.say("Does the remote hold what it should hold?")
    demo.show("ben", "flmd remote check")
    demo.say("## Ben tries another loss")
    demo.show("ben", "dvc exp run -q -n wing -S train.loss=wing", "dvc exp push origin wing")
    demo.say("## Both experiments, side by side")
    demo.show("ben", "dvc exp list origin --name-only", "dvc exp pull origin small-lr")
    demo.show(
        "ben",
        "dvc exp show --md --only-changed --hide-workspace --drop '^(?!Experiment|train.lr|train.loss|"
        "reports/metrics.json:(ibug300w|youtube_faces).(nme|auc08)$|ibug300w.nme$|youtube_faces.nme$)'",
        "dvc params diff main small-lr --md",
        "dvc params diff small-lr wing --md",
        "dvc metrics diff main small-lr --md",
        "dvc metrics diff small-lr wing --md",
    )
    demo.say("## Ben takes Ann's experiment as it is")
    demo.say("Her files come from the remote; there is nothing to compute.")
    demo.show("ben", "dvc exp apply small-lr", "dvc repro")
    elsewhere(demo)


def elsewhere(demo: Demo) -> None:
    """What somebody outside of the project takes from it."""
    demo.say("## Ann gives the model a version")
    demo.say("`artifacts` in `dvc.yaml` calls the model `landmarks`. A version of it is a git tag.")
    demo.show("ann", "git tag -a landmarks@v1.0.0 -m 'The baseline'", "git push -q origin landmarks@v1.0.0")
    demo.say("## Carl, who has a project of his own, takes the model and the faces")
    demo.say(
        "He needs the address of the repository and may read the remote; he clones nothing. Without "
        "`--rev v1.0.0` he gets the newest version."
    )
    (demo.folder / "carl").mkdir()
    demo.quietly(demo.folder / "carl", "flmd", "init", ".")
    demo.show("carl", "dvc artifacts get ../team.git landmarks --rev v1.0.0 -o landmarks.pt")
    demo.say(
        "The store comes with a note of where it is from, `data/anns.h5.dvc`. Git keeps the note, and "
        "`dvc update` brings the store again when Ann has changed hers."
    )
    demo.show("carl", "dvc import ../team.git data/faces.h5 -o data/anns.h5", NOTE)
    demo.say("So he measures her model on her test faces. `flmd train data/anns.h5` trains on the others.")
    demo.show("carl", "flmd evaluate data/anns.h5 --model landmarks.pt --out reports/anns")
    demo.show("carl", "dvc update data/anns.h5.dvc")


def main() -> None:
    """Run the demo and write the page when all went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "sharing.md")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory(prefix="flmd-sharing-") as name:
        demo = Demo(Path(name))
        project(demo)
        tell(demo)
        page = "\n".join([HEAD.rstrip("\n"), *demo.lines]) + "\n"
        out.write_text(page.replace(name, "/team"), encoding="utf-8")
    print(f"{out} written")


if __name__ == "__main__":
    main()
