"""Recipes and pretrained weights through DVC, on a small sample."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from torch import nn

from flmd.core.provenance import sha256_of
from flmd.models.checkpoint import read_info
from tests.pipeline.project import Project

SMALL: dict[str, dict[str, object]] = {
    "xception-ibug": {
        "input_size": 32,
        "crop_size": 45,
        "network_options": {"width": 0.125, "middle_blocks": 1, "dropout": 0.3},
    },
    "naimishnet-youtube": {
        "input_size": 32,
        "crop_size": 36,
        "network_options": {"hidden": 16, "dropout1": 0.5, "dropout2": 0.6},
    },
}
TINY = '''
"""A network with pretrained weights, small enough for a test."""

from flmd.models.pretrained import load_pretrained
from torch import nn
from torchvision.models import VGG19_Weights


class Tiny(nn.Module):
    imagenet = VGG19_Weights.IMAGENET1K_V1

    def __init__(
        self, *, points: int = 68, channels: int = 1, input_size: int = 32, pretrained: str = "none"
    ):
        super().__init__()
        self.points = points
        self.features = nn.Conv2d(1, 4, 3, stride=8)
        load_pretrained("tiny", self.features, pretrained, self.imagenet)
        self.features.requires_grad_(False)
        self.head = nn.LazyLinear(2 * points)
        self.head(self.features(__import__("torch").zeros(1, 1, input_size, input_size)).flatten(1))

    def forward(self, x):
        return self.head(self.features(x).flatten(1)).view(-1, self.points, 2)
'''


def shrink(project: Project) -> None:
    """The project's recipes at sizes that train in seconds."""
    for path in (project.folder / "recipes").glob("*.yaml"):
        if path.stem not in SMALL:
            path.unlink()
    for name, changes in SMALL.items():
        path = project.folder / "recipes" / f"{name}.yaml"
        yaml = YAML()
        tree = yaml.load(path)
        tree["augment"].update(input_size=changes["input_size"], variants=2)
        tree["convert"].update(crop_size=changes["crop_size"])
        tree["train"].update(network_options=changes["network_options"], epochs=2, epoch_faces=0, batch=8)
        yaml.dump(tree, path)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("recipes") / "project")
    models = project.folder / "flmd" / "models"
    (models / "tiny.py").write_text(TINY)
    registry = (models / "__init__.py").read_text()
    (models / "__init__.py").write_text(
        registry.replace("NETWORKS = {", 'NETWORKS = {\n    "tiny": "flmd.models.tiny:Tiny",')
    )
    shrink(project)
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "small recipes")
    return project


def apply_and_run(project: Project, name: str) -> tuple[str, dict[str, str], dict[str, object]]:
    project.run("flmd", "recipe", "apply", name)
    printed = project.repro().stdout
    metrics = json.loads((project.folder / "reports" / "metrics.json").read_text())
    return printed, project.digests(), metrics


@pytest.mark.slow
def test_a_recipe_that_ran_before_comes_back_without_training(project: Project) -> None:
    printed, first, metrics = apply_and_run(project, "xception-ibug")
    assert "Running stage 'train'" in printed
    _, other, _ = apply_and_run(project, "naimishnet-youtube")  # without validation faces
    assert other["data/model/best.pt"] != first["data/model/best.pt"]
    assert "index.html" in project.run("dvc", "plots", "show", "--out", "drawn").stdout
    printed, again, repeated = apply_and_run(project, "xception-ibug")
    for stage in ("convert@ibug300w", "augment", "train"):
        assert f"Running stage '{stage}'" not in printed
    assert "Stage 'train' is cached - skipping run, checking out outputs" in printed
    assert again == first
    assert repeated == metrics


def test_all_recipes_are_queued_and_params_stay(project: Project) -> None:
    before = (project.folder / "params.yaml").read_bytes()
    assert project.run("flmd", "recipe", "queue").stdout.split() == [
        *("queued", "naimishnet-youtube"),
        *("queued", "xception-ibug"),
    ]
    status = project.run("dvc", "queue", "status").stdout
    for name in SMALL:
        assert [line.split()[-1] for line in status.splitlines() if name in line] == ["Queued"]
    assert (project.folder / "params.yaml").read_bytes() == before
    tasks = project.run("git", "log", "-g", "--format=%H", "refs/exps/celery/stash").stdout.split()
    queued = [project.run("git", "show", f"{task}:params.yaml").stdout for task in tasks]
    networks = {YAML(typ="safe").load(text)["train"]["network"] for text in queued}
    assert networks == {"naimishnet", "xception"}
    project.run("dvc", "queue", "remove", "--all")


@pytest.mark.slow
def test_training_starts_from_a_weights_file_and_follows_its_bytes(project: Project) -> None:
    folder = project.folder
    project.run("flmd", "recipe", "apply", "xception-ibug")
    project.set({"train.network": "tiny", "train.network_options": {}, "train.epochs": 1})
    path = "data/weights/tiny.pth"
    project.set({"train.pretrained": path})

    failed = project.repro("train", check=False)
    assert failed.returncode != 0
    assert f"error: train.pretrained is '{path}': no such file" in failed.stderr
    assert "set train.pretrained: none" in failed.stderr
    assert "Traceback" not in failed.stderr

    digests = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        donor = nn.Conv2d(1, 4, 3, stride=8)
        torch.save(donor.state_dict(), folder / path)
        project.run("dvc", "add", "-q", path)
        printed = project.repro("train").stdout
        assert "Running stage 'train'" in printed
        model = torch.load(folder / "data" / "model" / "last.pt", weights_only=True)
        found = [v for v in tensors(model) if v.shape == donor.weight.shape]
        assert any(torch.equal(value, donor.weight) for value in found)
        digests.append(project.digests())
    assert digests[0]["data/pretrained.pt"] != digests[1]["data/pretrained.pt"]
    assert "Running stage" not in project.repro("train").stdout

    (folder / "data" / "weights" / "other.pth").write_bytes(b"of no concern")
    assert "Running stage 'train'" not in project.repro("train").stdout

    # The model of that training teaches the next one, whose record names its bytes.
    teacher = folder / "data" / "weights" / "teacher.pt"
    shutil.copy(folder / "data" / "model" / "last.pt", teacher)
    project.run("dvc", "add", "-q", str(teacher))
    project.set({"train.teacher": "data/weights/teacher.pt"})
    assert "Running stage 'train'" in project.repro("train").stdout
    assert (folder / "data" / "teacher.pt").read_bytes() == teacher.read_bytes()
    made_from = read_info(folder / "data" / "model" / "last.pt").made_from
    assert made_from["inputs"]["teacher.pt"] == sha256_of(teacher)

    # They travel: a clone that only pulls has them.
    project.run("dvc", "remote", "add", "-d", "team", str(folder.parent / "remote"))
    project.run("dvc", "push", "-q", "weights")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "weights")
    clone = folder.parent / "clone"
    project.run("git", "clone", "-q", str(folder), str(clone))
    project.run("dvc", "--cd", str(clone), "pull", "-q", "weights")
    assert (clone / "data" / "pretrained.pt").read_bytes() == (folder / path).read_bytes()


def test_weights_outside_their_folder_are_refused_with_the_remedy(project: Project, tmp_path: Path) -> None:
    torch.save({}, tmp_path / "tiny.pth")
    project.set({"train.network": "tiny", "train.pretrained": str(tmp_path / "tiny.pth")})
    failed = project.repro("weights", check=False)
    assert "outside data/weights; copy the file to data/weights/tiny.pth" in failed.stderr


def test_a_network_without_pretrained_weights_says_so(project: Project) -> None:
    project.set({"train.network": "xception", "train.pretrained": "imagenet"})
    failed = project.repro("weights", check=False)
    assert "network xception has no pretrained weights" in failed.stderr


def tensors(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [found for inner in value.values() for found in tensors(inner)]
    return []
