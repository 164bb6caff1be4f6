"""Which instructions do the arithmetic: pinned, so that every stage ends with the same bytes everywhere.

The libraries underneath choose their kernels when they are loaded, by what the processor has: AVX-512 adds up
a sum in another order than AVX2, and the last digits differ. ``portable`` pins them all to AVX2, which every
x86-64 processor of the last ten years has. The choice is read from the environment, once, when a library is
loaded: :func:`restart_pinned` starts the program anew where that is too late.

Every pinned library, and why the pin makes it exact on all of them:

========== ============================ ==================================================================
numpy      NPY_DISABLE_CPU_FEATURES     loops above AVX2 are left out
OpenBLAS   OPENBLAS_CORETYPE            Haswell's kernels, under numpy and scipy
OpenCV     OPENCV_CPU_DISABLE           loops above AVX2 are left out, where there are any
its IPP    OPENCV_IPP                   kernels of AVX2
torch      ATEN_CPU_CAPABILITY          vectors of AVX2; fused optimisers, whose root is the processor's
oneDNN     ONEDNN_MAX_CPU_ISA           convolutions of AVX2, whatever the processor's name
MKL        MKL_CBWR                     COMPATIBLE: matrix products that look neither at maker nor model
========== ============================ ==================================================================
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

Cpu = Literal["portable", "native"]
CPUINFO = Path("/proc/cpuinfo")
ON_X86 = platform.machine() in ("x86_64", "AMD64")
# Both generations of numpy's names; it leaves aside the one it does not know.
_NUMPY = "X86_V4 AVX512_ICL AVX512_SPR AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL"
_ALWAYS: Mapping[str, str] = {
    "NPY_DISABLE_CPU_FEATURES": _NUMPY,
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "OPENCV_IPP": "avx2",
}
LOADED_ONCE = ("numpy", "torch")
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
_TOLD = _BFLOAT16 | {
    *("sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni"),
    *("asimd", "sve"),
}


def pins() -> dict[str, str]:
    """The variables of the environment that pin the arithmetic on this processor, and their values."""
    # OpenCV complains when it is told to leave out what is not there.
    wider = "avx512f" in instruction_sets()
    return {**_ALWAYS, **({"OPENCV_CPU_DISABLE": "AVX512-SKX"} if wider else {})}


def pin_environment(cpu: Cpu) -> bool:
    """Pin the arithmetic of what is loaded from now on, here and in programs started from here.

    Returns
    -------
    Whether anything had to be changed. Nothing is pinned for ``native``, nor on another architecture, whose
    processors all do their arithmetic with the same instructions.
    """
    if cpu == "native" or not ON_X86:
        return False
    wanted = pins()
    changed = any(os.environ.get(name) != value for name, value in wanted.items())
    os.environ.update(wanted)
    return changed


def restart_pinned(cpu: Cpu, *, needed: bool = True) -> None:
    """Pin the arithmetic; where numpy or torch is loaded already, start this program anew, pinned.

    To be called first by every stage of the pipeline: what was done before is done again. ``needed`` is False
    in stages whose own arithmetic is exact (:mod:`flmd.core.exact`): there the pins guard what params may
    bring along, transforms of albumentations, and FLMD_PINS=off leaves them out.
    """
    if not needed and os.environ.get("FLMD_PINS") == "off":
        return
    if pin_environment(cpu) and any(name in sys.modules for name in LOADED_ONCE):
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def is_pinned() -> bool:
    """Whether what this process loads, or has loaded since it was started, is pinned."""
    return ON_X86 and all(os.environ.get(name) == value for name, value in pins().items())


def warn_if_not_pinned(cpu: Cpu) -> None:
    """A line on stderr where portable arithmetic is wanted and this process was not started for it."""
    if cpu == "portable" and ON_X86 and not is_pinned():
        print(
            "warning: train.cpu is portable, but this process is not pinned, so that another processor may "
            "give other last digits (call flmd.core.processor.pin_environment before numpy is imported)",
            file=sys.stderr,
        )


@cache
def _cpuinfo(path: Path) -> dict[str, str]:
    """The first processor's entries; nothing where the system has no such file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    first = text.partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def name() -> str:
    """The processor's name, as its maker gives it."""
    return _cpuinfo(CPUINFO).get("model name") or platform.processor() or platform.machine()


def instruction_sets() -> tuple[str, ...]:
    """Those of the processor that arithmetic may use, sorted; empty where the system does not tell."""
    info = _cpuinfo(CPUINFO)
    flags = (info.get("flags") or info.get("Features") or "").split()
    return tuple(sorted(_TOLD.intersection(flags)))


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; without, each step costs many times float32's."""
    return not _BFLOAT16.isdisjoint(instruction_sets())
