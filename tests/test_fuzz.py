"""The readers' share of hostile input in every test run, and that the fuzzer finds what it looks for."""

from __future__ import annotations

import time

import pytest

from flmd import formats
from flmd.formats.dlib_xml import DlibXml
from tests import fuzzing

CASES = 20_000


@pytest.mark.slow
def test_mutated_files_end_in_faces_or_in_an_error_for_people() -> None:
    findings = fuzzing.fuzz(CASES, seed=20_261_121)
    assert [f"{f.format} --only {f.number}: {f.what}" for f in findings] == []


class Leaky(DlibXml):
    """A reader with every fault there is, one after the other."""

    calls = 0

    def read(self, tree, scheme, files):  # type: ignore[no-untyped-def]
        Leaky.calls += 1
        for face in super().read(tree, scheme, files):
            if Leaky.calls % 5 == 0:
                raise KeyError("x")
            if Leaky.calls % 5 == 1:
                time.sleep(600)
            if Leaky.calls % 5 == 2:
                bytearray(2 << 30)
            if Leaky.calls % 5 == 3:
                face.landmarks[0] = float("inf")  # type: ignore[union-attr]
            yield face


def test_the_fuzzer_sees_exceptions_hangs_memory_and_bad_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "LONGEST", 1.0)
    monkeypatch.setattr(fuzzing, "INTERRUPTED", 2)  # long enough for the other faults on a busy machine
    seeds = {name: fuzzing.seeds_of(name) for name in ["dlib-xml"]}
    monkeypatch.setattr(fuzzing, "seeds_of", seeds.__getitem__)
    monkeypatch.setattr(formats, "get", lambda name: Leaky())
    found = " ".join(f.what for f in fuzzing.fuzz(24, seed=1, names=["dlib-xml"], jobs=1))
    for fault in ("KeyError: 'x'", "took longer than 1 s", "MemoryError", "a point is infinite"):
        assert fault in found
