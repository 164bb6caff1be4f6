"""dvc.yaml names the code that its stages really run."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flmd.core import params

ROOT = Path(__file__).resolve().parents[2]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]


def body(name: str) -> dict[str, object]:
    """A stage's definition, the `do` part of a foreach."""
    stage: dict[str, object] = STAGES[name]
    return stage.get("do", stage)  # type: ignore[return-value]


def code_of(name: str) -> list[str]:
    """The dependencies of a stage that are code."""
    deps: list[str] = body(name)["deps"]  # type: ignore[assignment]
    return [dep for dep in deps if "${" not in dep and dep.startswith(("flmd/", "pipeline/"))]


def declared(name: str) -> set[str]:
    """All Python files that a stage's dependencies cover."""
    files = set()
    for dep in code_of(name):
        path = ROOT / dep
        files |= {p.relative_to(ROOT).as_posix() for p in (path.rglob("*.py") if path.is_dir() else [path])}
    return files


def module_file(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imports(path: Path) -> set[str]:
    """Every flmd module that a file names in an import, inside functions too, and in registry strings."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("flmd.")
        ):
            found.add(node.value.partition(":")[0])
    return {name for name in found if name.split(".")[0] == "flmd"}


# Imports what its public names need once they are used, which no stage does.
FRONT_DOOR = ROOT / "flmd" / "__init__.py"


def says_something(path: Path) -> bool:
    """Whether a file can change a result: the front door and a package's docstring cannot."""
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    return path != FRONT_DOOR and not all(
        isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) for s in statements
    )


def reachable(name: str) -> set[str]:
    """Files that a stage's script reaches through imports, packages on the way included."""
    todo, seen = [ROOT / "pipeline" / f"{name}.py"], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        if path == FRONT_DOOR:
            continue
        for module in imports(path):
            parts = module.split(".")
            for length in range(1, len(parts) + 1):
                file = module_file(".".join(parts[:length]))
                if file is not None:
                    todo.append(file)
    return {p.relative_to(ROOT).as_posix() for p in seen if says_something(p)}


LAZY = {
    # download draws samples, convert only asks the same rules for subjects and splits
    "convert": "flmd/sources/sample/",
}


@pytest.mark.parametrize("name", STAGES)
def test_declared_dependencies_are_the_code_that_can_be_reached(name: str) -> None:
    reached = reachable(name)
    lazy = LAZY.get(name, "/")
    assert sorted(p for p in reached - declared(name) if not p.startswith(lazy)) == []
    for dep in code_of(name):
        assert any(p == dep or p.startswith(f"{dep}/") for p in reached), f"{dep} is not used"


def test_dvc_yaml_can_be_read_aloud() -> None:
    """A stage names rooms, not modules."""
    assert sum(len(code_of(name)) for name in STAGES) <= 60
    for name in STAGES:
        loose = [dep for dep in code_of(name) if dep.endswith(".py") and dep.startswith("flmd/")]
        assert set(loose) <= {"flmd/errors.py", "flmd/face.py"}


def test_training_and_evaluation_are_no_reason_to_convert_or_augment_again() -> None:
    for name in ("download", "convert", "merge", "augment"):
        assert not {"flmd/training", "flmd/evaluation", "flmd/models"} & set(code_of(name))


@pytest.mark.parametrize("name", STAGES)
def test_modules_loaded_by_a_stage_are_declared(name: str) -> None:
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='imported')\n"
        "print('\\n'.join(m.__file__ for m in list(sys.modules.values())"
        " if getattr(m, '__file__', None) and m.__name__.split('.')[0] == 'flmd'))"
    )
    script = ROOT / "pipeline" / f"{name}.py"
    done = subprocess.run(
        [sys.executable, "-c", code, str(script)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found = [Path(line).resolve() for line in done.stdout.split()]
    loaded = {path.relative_to(ROOT).as_posix() for path in found if says_something(path)}
    assert loaded
    assert sorted(loaded - declared(name)) == []


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_says_what_it_does(name: str) -> None:
    assert len(str(body(name)["desc"])) > 20


def test_only_the_last_stage_has_uncached_outputs() -> None:
    """A `cache: false`, `persist` or `always_changed` switches DVC's run cache off for its stage."""
    for name in STAGES:
        text = str(body(name))
        assert "persist" not in text
        assert "always_changed" not in text
        assert ("'cache': False" in text) == (name == "evaluate")


def params_read(name: str) -> set[str]:
    """Sections of params.yaml that a stage reads: ``settings.seed``, ``dataset.source`` ..."""
    script = ast.parse((ROOT / "pipeline" / f"{name}.py").read_text(encoding="utf-8"))
    (room,) = [
        node.module
        for node in ast.walk(script)
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith(".stage")
    ]
    file = module_file(str(room))
    assert file is not None
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            continue
        if node.value.id == "settings" and node.attr in params.Params.model_fields:
            found.add(node.attr)
        elif node.value.id == "dataset":
            found.add(SOURCE_PARTS.get(node.attr, f"datasets.*.{node.attr}"))
    if "params.load().datasets" in ast.unparse(tree):
        found.add("datasets")
    return found - {PERMISSION}


PERMISSION = "datasets.*.accept_license"  # lets a download be; no byte of a result depends on it
SOURCE_PARTS = dict.fromkeys(("is_sample", "sample_faces", "address"), "datasets.*.source")


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_the_params_it_reads_and_no_others(name: str) -> None:
    listed = {str(p).replace("${key}", "*") for p in body(name)["params"]}  # type: ignore[attr-defined]
    sections = {p.split(".")[0] if p.split(".")[0] != "datasets" else p for p in listed}
    whole = {p for p in sections if p == "datasets.*"}  # also keys that a params.yaml may leave out
    read = params_read(name)
    assert {"datasets.*" if whole and p.startswith("datasets.*.") else p for p in read} == sections


def test_a_data_set_needs_no_key_but_its_source() -> None:
    """DVC stops at a key that it is told of and does not find, so only that one may be told."""
    keys = {str(p) for name in STAGES for p in body(name)["params"]}  # type: ignore[attr-defined]
    assert {k for k in keys if k.startswith("datasets.")} == {"datasets.${key}", "datasets.${key}.source"}


def test_no_stage_and_no_plot_names_a_data_set() -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert [name for name in params.load(ROOT / "params.yaml").datasets if name in text] == []
