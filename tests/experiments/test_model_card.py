"""The card of a model: under which licence its data are published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from flmd.experiments import model_card
from flmd.models import checkpoint
from tests.inference.video.blob import random_model


def converted(name: str, source: str) -> dict[str, object]:
    """The record of a store that the stage `convert` made."""
    return {"stage": "convert", "inputs": {name: "0" * 64}, "params": {"dataset": {"source": source}}}


def test_licences_are_those_of_the_authors_where_they_are_known(tmp_path: Path) -> None:
    path = random_model(tmp_path / "best.pt")
    stores = [("ibug300w", "official"), ("youtube_faces", "sample"), ("mine", "own"), ("theirs", "own")]
    earlier = {str(i): converted(name, source) for i, (name, source) in enumerate(stores)}
    info = replace(checkpoint.read_info(path), made_from={"stage": "train", "inputs": {}, "earlier": earlier})
    manifest = {"official": {"url": "https://example.org/x", "license": "theirs alone", "about": "x"}}
    (tmp_path / "theirs.json").write_text(json.dumps(manifest))
    told = model_card.card_of(path, info, tmp_path).licences
    assert told.keys() == {"ibug300w", "youtube_faces", "theirs"}
    assert told["ibug300w"].startswith("research only: the images of 300-W")
    assert told["youtube_faces"].startswith("drawn by flmd's own sample")
    assert told["theirs"] == "theirs alone"


def test_what_its_teacher_learned_from_is_told_too(tmp_path: Path) -> None:
    path = random_model(tmp_path / "best.pt")
    train = {"datasets": ["mine"], "teacher": "big.pt", "teacher_weight": 0.75, "pretrained": "none"}
    earlier = {"a": converted("mine", "own"), "b": converted("ibug300w", "official")}
    inputs = {"teacher.pt": "5" * 64}
    record = {"stage": "train", "inputs": inputs, "params": {"train": train}, "earlier": earlier}
    card = model_card.card_of(path, replace(checkpoint.read_info(path), made_from=record), tmp_path)
    assert card.learned_from == {"teacher": f"big.pt, sha256 {'5' * 64}; 75 % of every target"}
    assert card.data.keys() == {"mine", "ibug300w"}
    assert card.licences["ibug300w"].startswith("research only")
    assert f"  teacher   {card.learned_from['teacher']}" in model_card.lines(card)
    train["teacher"] = "none"
    card = model_card.card_of(path, replace(checkpoint.read_info(path), made_from=record), tmp_path)
    assert card.learned_from == {}
    assert card.data.keys() == {"mine"}
