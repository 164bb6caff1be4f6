"""The arithmetic of training is pinned before numpy and torch are loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flmd.core import processor
from flmd.errors import ParamsError
from flmd.models.devices import autocast_type

CPU = torch.device("cpu")
X86_ONLY = pytest.mark.skipif(
    not processor.is_pinned(), reason="this architecture has one set of instructions for arithmetic"
)


def unpinned() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in processor.pins()}


@X86_ONLY
def test_a_program_that_loaded_torch_starts_anew_and_is_pinned_then(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import os, sys, torch\n"
        "from flmd.core import processor\n"
        "print('started', os.getpid(), *sys.argv[1:], flush=True)\n"
        "processor.restart_pinned('portable')\n"
        "print(torch.backends.cpu.get_cpu_capability())\n"
    )
    command = [sys.executable, script, "--an", "argument"]
    printed = subprocess.run(command, env=unpinned(), capture_output=True, text=True, check=True).stdout
    first, second, capability = printed.splitlines()
    assert first == second  # the same process, with the same arguments, begun twice
    assert first.endswith("--an argument")
    assert capability == "AVX2"


@X86_ONLY
def test_native_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKL_CBWR")
    before = dict(os.environ)
    assert not processor.pin_environment("native")
    assert dict(os.environ) == before


@X86_ONLY
def test_a_process_that_cannot_be_pinned_any_more_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    processor.warn_if_not_pinned("portable")
    monkeypatch.delenv("ATEN_CPU_CAPABILITY")
    processor.warn_if_not_pinned("native")
    assert capsys.readouterr().err == ""
    processor.warn_if_not_pinned("portable")
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: train.cpu is portable, but this process is not pinned")


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Let the machine have another processor."""

    def write(flags: str) -> None:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        path.write_text(f"processor : 0\nmodel name\t: A Processor\nflags\t\t: {flags}\n\nprocessor : 1\n")
        monkeypatch.setattr(processor, "CPUINFO", path)

    return write


def test_bfloat16_without_its_instructions_stops_in_one_line(cpuinfo) -> None:  # type: ignore[no-untyped-def]
    cpuinfo("fpu avx avx2 fma avx512f")
    with pytest.raises(ParamsError) as error:
        autocast_type("bfloat16", CPU, "native")
    for words in ("A Processor", "no instructions for it", "train.precision: float32", "bfloat16_emulated"):
        assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert autocast_type("bfloat16_emulated", CPU, "native") is torch.bfloat16
    assert autocast_type("auto", CPU, "native") is None


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_bfloat16_needs_all_that_the_processor_has(cpuinfo, flag: str) -> None:  # type: ignore[no-untyped-def]
    cpuinfo(f"avx2 {flag}")
    assert autocast_type("bfloat16", CPU, "native") is torch.bfloat16
    with pytest.raises(ParamsError, match="train.cpu: native"):
        autocast_type("bfloat16", CPU, "portable")


def test_what_the_processor_is_and_can(cpuinfo) -> None:  # type: ignore[no-untyped-def]
    cpuinfo("fpu mmx avx2 fma avx512_bf16")
    assert processor.name() == "A Processor"
    assert processor.instruction_sets() == ("avx2", "avx512_bf16", "fma")
