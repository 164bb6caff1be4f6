"""Fixtures and factories: small data sets are built, not shipped."""

from __future__ import annotations

# ruff: noqa: E402  (pinned before anything imports numpy or torch, as `flmd train` does)
from flmd.core import processor

processor.pin_environment("portable")

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, chromium
from tests.pipeline.project import Project

# Files that take a minute or more begin first: a worker that ends with one of them leaves the other idle.
LONGEST = (
    "tests/experiments/test_recipes_train.py",
    "tests/pipeline/test_repro.py",
    "tests/pipeline/test_verify.py",
    "tests/pipeline/test_recipes.py",
    "tests/pipeline/test_exact_stages.py",
    "tests/test_fuzz.py",
    "tests/experiments/remotes/test_repair.py",
    "tests/training/test_torchrun.py",
    "tests/pipeline/test_same_bytes.py",
    "tests/inference/deploy/test_export.py",
    "tests/sources/test_sample.py",
    "tests/evaluation/test_plots.py",
    "tests/app/test_page.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, others as they are; `make test` keeps pytest-xdist from reordering them."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(LONGEST)))


SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real faces beside the checkout; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; tests of pages skip where it is absent."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose small pipeline ran with one worker, committed. Tests clone or copy it."""
    project = Project(tmp_path_factory.mktemp("finished") / "project")
    project.repro(FLMD_WORKERS="1")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "a run of the pipeline")
    return project
