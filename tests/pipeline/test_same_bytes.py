"""The same params give the same bytes whatever instructions a processor has: all stages, both data sets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flmd.core import processor
from flmd.models import checkpoint
from tests.pipeline.project import Project

# What a processor of 2008 has: no AVX, no fused multiply-add. Each library is told so in its own way.
WITHOUT_AVX = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENCV_CPU_DISABLE": "AVX,FP16,AVX2,FMA3,AVX512-SKX",
    "OPENCV_IPP": "sse42",
    "OPENBLAS_CORETYPE": "Nehalem",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
}
pytestmark = pytest.mark.skipif(
    not processor.ON_X86, reason="the instruction sets of x86-64 are what is switched off"
)


@pytest.mark.slow
def test_every_output_is_the_same_with_instruction_sets_switched_off(
    finished_project: Project, tmp_path: Path
) -> None:
    project = Project(tmp_path / "without")
    project.repro(FLMD_WORKERS="2", **WITHOUT_AVX)
    expected = finished_project.digests()
    assert {"data/raw/ibug300w", "data/arrays.h5", "data/model/best.pt", "reports/metrics.json"} <= set(
        expected
    )
    assert project.digests() == expected


@pytest.mark.slow
def test_native_arithmetic_is_another(finished_project: Project, tmp_path: Path) -> None:
    """So the comparison above can fail: without the pins, these instructions give other weights."""
    finished_project.run("git", "clone", "-q", ".", str(tmp_path / "native"))
    project = object.__new__(Project)
    project.folder = tmp_path / "native"
    for name in ("data/arrays.h5", "data/pretrained.pt", "data/pretrained.json"):
        (project.folder / name).write_bytes((finished_project.folder / name).read_bytes())
    project.set({"train.cpu": "native"})
    project.run("python", "pipeline/train.py", **WITHOUT_AVX)
    ours, theirs = (
        checkpoint.load_model(folder / "data" / "model" / "best.pt", torch.device("cpu"))[0].state_dict()
        for folder in (finished_project.folder, project.folder)
    )
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(torch.allclose(ours[name], theirs[name], atol=0.05) for name in ours)
