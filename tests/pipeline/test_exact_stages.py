"""Sample, conversion, merge and augmentation give the same bytes on any processor, without any pin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flmd.core import processor
from tests.pipeline.data_stages import ROOT

# A processor of 2008, with no AVX and no fused multiply-add: for numpy, OpenBLAS, OpenCV, its IPP, and glibc.
WITHOUT_AVX = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Nehalem",
    "OPENCV_CPU_DISABLE": "AVX,FP16,AVX2,FMA3,AVX512-SKX",
    "OPENCV_IPP": "disabled",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX,-FMA,-AVX2_Usable,-AVX_Usable,-FMA_Usable",
}
SMALL = {
    "datasets.ibug300w.source": {"sample": 24},
    "datasets.youtube_faces.source": {"sample": 24},
    "convert.crop_size": 96,
    "augment.input_size": 48,
    "augment.variants": 3,
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not processor.ON_X86, reason="the instruction sets of x86-64 are switched off"),
]


def run(folder: Path, *arguments: str, **environment: str) -> dict[str, str]:
    """Digests of what the data stages make in a folder of their own, unpinned."""
    folder.mkdir()
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    for key, value in SMALL.items():
        *parts, last = key.split(".")
        place = params
        for part in parts:
            place = place[part]
        place[last] = value
    yaml.dump(params, folder / "params.yaml")
    free = {name: value for name, value in os.environ.items() if name not in processor.pins()}
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.data_stages", *arguments],
        cwd=folder,
        env={**free, "PYTHONPATH": path, "FLMD_PINS": "off", "FLMD_WORKERS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the processor makes with all it has."""
    return run(tmp_path_factory.mktemp("native") / "project")


def test_every_byte_is_the_same_with_instruction_sets_switched_off(
    native: dict[str, str], tmp_path: Path
) -> None:
    assert set(native) >= {
        *("data/raw/ibug300w", "data/raw/youtube_faces", "data/stores/ibug300w.h5", "data/faces.h5"),
        *("data/arrays.h5", "reports/data/ibug300w.json", "reports/data/youtube_faces.json"),
    }
    assert run(tmp_path / "without", **WITHOUT_AVX) == native


def test_real_faces_are_the_same_too(shared_data: Path, tmp_path: Path) -> None:
    """330 small pictures, and 30 large ones that are decoded small and averaged over blocks."""
    sources = [
        str(shared_data / name) for name in ("ibug_300w/labels_ibug_300W_test.xml", "ibug_300w_fullres")
    ]
    full = run(tmp_path / "full", "real", *sources)
    assert len(full) == 4
    assert run(tmp_path / "less", "real", *sources, **WITHOUT_AVX) == full


@pytest.mark.parametrize(
    ("plant", "stages", "output"), [("exp", "1", "data/raw/ibug300w"), ("sin_cos", "6", "data/arrays.h5")]
)
def test_one_inexact_function_is_found(plant: str, stages: str, output: str, tmp_path: Path) -> None:
    full, less = (
        run(tmp_path / name, plant, stages, **environment)
        for name, environment in (("full", {}), ("less", WITHOUT_AVX))
    )
    assert full[output] != less[output]
