"""The Python on the pages runs, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from pathlib import Path

import pytest

import flmd
from flmd.augmentation import build
from flmd.inference.deploy.export import export_model
from flmd.sources.datasets.rules import rules_for
from tests.app.made_model import make_model

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^ *print\(.*\)  # (.*)$", re.MULTILINE)
INTERFACE = ["docs/python.md", "docs/torch.md"]
SHOWN = ["README.md", "docs/predicting.md", "docs/stores.md", "docs/deploying.md", *INTERFACE]


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages name: the sample's archive, two pictures, a store, models."""
    folder = tmp_path_factory.mktemp("docs")
    archive = folder / "ibug_300W.tar.gz"
    rules_for("ibug300w").make_sample(archive, 24, 7)
    with flmd.open_faces(archive) as faces:
        assert faces.pictures is not None
        largest = max(faces, key=lambda face: face.box[2] if isinstance(face, flmd.Face) else 0)
        for name in ("group.jpg", "face.jpg"):
            (folder / name).write_bytes(faces.pictures.read(largest.image))
    flmd.convert(
        archive,
        folder / "data" / "faces.h5",
        dataset="ibug300w",
        crop=flmd.CropSettings(size=64, margin=1.6),
        split=flmd.SplitSettings("standard", val=0.2),
    )
    crops = flmd.AugmentParams(input_size=32, padding=1.2, variants=2, rotation=5, noise=0.01)
    with flmd.FaceStore(folder / "data" / "faces.h5") as store:
        build.build(store, folder / "data" / "arrays.h5", crops, seed=7, made_from={}, workers=1)
    model = make_model(folder / "best.pt")
    (folder / "data" / "model").mkdir()
    shutil.copy(model, folder / "data" / "model" / "best.pt")
    export_model(model, folder / "best.onnx", "onnx")
    return folder


def run_page(page: str, folder: Path) -> None:
    """Run all blocks of a page in one namespace, each against what its prints are said to print."""
    names: dict[str, object] = {"__name__": "page"}
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert blocks
    with contextlib.chdir(folder):
        for block in blocks:
            line = text.count("\n", 0, block.start(1))
            code = compile("\n" * line + block[1], str(ROOT / page), "exec")  # errors name the page's line
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code, names)
            if said := PRINTED.findall(block[1]):
                assert printed.getvalue().splitlines() == said


@pytest.mark.parametrize("name", sorted(set(flmd.__all__) - {"__version__"}))
def test_every_public_name_is_shown(name: str) -> None:
    code = [block[1] for page in INTERFACE for block in BLOCK.finditer((ROOT / page).read_text("utf-8"))]
    assert re.search(rf"\bflmd\.{name}\b", "\n".join(code))


@pytest.mark.parametrize("page", SHOWN)
def test_the_code_of_a_page_runs(page: str, sample: Path) -> None:
    run_page(page, sample)
