"""The pages say what is there: generated pages are current, names and links lead somewhere."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flmd.cli import format_tables

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
# A path of the repository: `flmd/errors.py`, `tests/app`. One that ends in a capital word is a placeholder.
PATH = re.compile(r"(?<![\w./~-])(?:flmd|tests|benchmarks|pipeline|docs|recipes)/[\w./-]*\w")
# `flmd.face.Face`, `python -m benchmarks.accuracy`; not `faces.flmd.yaml` or the key `flmd.json`
DOTTED = re.compile(r"(?<![\w./-])(?:flmd|benchmarks|pipeline|tests)(?:\.[A-Za-z_]\w*)+(?![\w/-])")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILES = ("json", "yaml", "md", "py", "version")


def page_id(page: Path) -> str:
    return page.name


def test_the_page_of_formats_is_the_registrys() -> None:
    """`flmd-data formats --markdown > docs/formats.md` makes it again."""
    assert (DOCS / "formats.md").read_text(encoding="utf-8") == format_tables.markdown()


def leads_somewhere(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


def anchors(page: Path) -> set[str]:
    """What a link into a page may name: its headings as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_paths_on_a_page_exist(page: Path) -> None:
    named = {m[0] for m in PATH.finditer(page.read_text(encoding="utf-8"))}
    named = {name for name in named if not re.search(r"\b[A-Z]{2,}\b", name)}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_modules_and_names_on_a_page_exist(page: Path) -> None:
    named = {m[0] for m in DOTTED.finditer(page.read_text(encoding="utf-8"))}
    named = {name for name in named if name.rpartition(".")[2] not in FILES}
    assert [name for name in sorted(named) if not leads_somewhere(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_on_a_page_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=page_id)
def test_the_readme_leads_to_every_page(page: Path) -> None:
    """Directly, or over one page that it names."""
    direct = set(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    if f"docs/{page.name}" not in direct:
        between = [DOCS / Path(name).name for name in direct if name.startswith("docs/")]
        assert any(f"({page.name}" in other.read_text(encoding="utf-8") for other in between)


def house_table() -> dict[str, list[list[str]]]:
    """The rooms of docs/house.md: what each may import, and the stages that depend on it."""
    rows = {}
    for line in (DOCS / "house.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("`"):
            rows[cells[0].strip("`")] = [
                [name.strip().strip("`") for name in cell.split(",") if name.strip()] for cell in cells[2:]
            ]
    return rows


def contract() -> dict[str, list[str]]:
    """The table of the import contract, without what all rooms may import."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (rules,) = settings["contracts"]
    return {room: list(may) for room, may in rules["rooms"].items() if room not in rules["everywhere"]}


def test_the_houses_table_is_the_import_contract() -> None:
    written = {room: set(may) for room, (may, _) in house_table().items()}
    assert written == {room: {"all"} if may == ["*"] else set(may) for room, may in contract().items()}


def test_the_houses_table_says_what_dvc_runs_again() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    deps = {name: stage.get("do", stage)["deps"] for name, stage in stages.items()}
    for room, (_, again) in house_table().items():
        depend = [
            name for name, of in deps.items() if any(f"{dep}/".startswith(f"flmd/{room}/") for dep in of)
        ]
        assert again == depend, room


def below(room: str, arrows: dict[str, set[str]]) -> set[str]:
    """All rooms that can be reached from one."""
    reached: set[str] = set()
    todo = [*arrows.get(room, ())]
    while todo:
        if (name := todo.pop()) not in reached:
            reached.add(name)
            todo += arrows.get(name, ())
    return reached


def test_the_houses_graph_has_the_arrows_of_the_contract() -> None:
    """Arrows that follow from others are left out, so what can be reached is compared."""
    drawn = {
        m[1]: set(m[2].split(" & "))
        for m in re.finditer(r"^    (\w+) --> (.*)$", (DOCS / "house.md").read_text(), re.MULTILINE)
    }
    allowed = {room: {name.split(".")[0] for name in may} for room, may in contract().items()}
    allowed["cli"] = set(allowed)
    for room in allowed:
        assert below(room, drawn) | {room} == below(room, allowed) | {room}, room
