"""Single changes of a recipe: who is held out, and what the table says of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import tries
from flmd.core import params
from tests.pipeline.project import ROOT

COLUMNS = {
    "split": ["train"] * 120 + ["val"] * 5,
    "dataset": ["videos"] * 80 + ["stills"] * 40 + ["stills"] * 5,
    "subject": [f"person {i // 2}" for i in range(80)] + [""] * 45,
    "image": [f"{i}.jpg" for i in range(125)],
}


class Store:
    """What `divide` asks of a store: 40 persons with two pictures each, and 40 pictures of nobody known."""

    def texts(self, name: str, rows: np.ndarray | slice = slice(None)) -> list[str]:
        return np.array(COLUMNS[name])[rows].tolist()


def test_persons_are_held_out_whole_and_validation_faces_are_left_alone() -> None:
    learn, held = tries.divide(Store(), ["videos", "stills"])  # type: ignore[arg-type]
    assert sorted([*learn, *held]) == list(range(120))
    assert 5 <= len(held) <= 30  # one in eight, by chance
    side = {**dict.fromkeys(learn.tolist(), 0), **dict.fromkeys(held.tolist(), 1)}
    assert all(side[2 * person] == side[2 * person + 1] for person in range(40))
    only, _ = tries.divide(Store(), ["stills"])  # type: ignore[arg-type]
    assert set(only.tolist()) <= set(range(80, 120))


def test_the_table_has_paired_differences_to_the_first_row() -> None:
    shared = {"dataset": ["a", "a", "b", "b"], "person": [0, 1, 2, 2]}
    rows = [
        {"name": "as it is", "nme": [0.04, 0.06, 0.02, 0.04], **shared},
        {"name": "better", "nme": [0.03, 0.05, 0.02, 0.05], **shared},
    ]
    head, _, first, better = tries.table(rows)
    assert head == "| change | a, 2 faces | difference | b, 2 faces | difference |"
    assert first == "| as it is | 5.00 |  | 3.00 |  |"
    # a: one point less on both faces, whoever is drawn; b: one person, whose mean difference is +0.5.
    assert better == "| better | 4.00 | -1.00 (-1.00 to -1.00) | 3.50 | +0.50 (+0.50 to +0.50) |"


@pytest.mark.parametrize("name", tries.TRIES)
def test_every_try_is_of_settings_that_exist(name: str) -> None:
    settings = params.load(ROOT / "params.yaml")
    changes = tries.TRIES[name]
    assert set(changes) <= {"train", "augment", "seed"}
    assert set(changes.get("train", {})) <= set(type(settings.train).model_fields)
    assert set(changes.get("augment", {})) <= set(type(settings.augment).model_fields)


def test_rows_that_are_there_are_read(tmp_path: Path) -> None:
    assert tries.rows_of(tmp_path / "none.jsonl") == []
    assert tries.table([]) == ["no try has run yet"]
