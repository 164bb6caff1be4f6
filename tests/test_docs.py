"""Pages made from the registries are those that the registries make."""

from __future__ import annotations

from pathlib import Path

from flmd.cli import format_tables

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_of_formats_is_the_registrys() -> None:
    """`flmd-data formats --markdown > docs/formats.md` makes it again."""
    assert (DOCS / "formats.md").read_text(encoding="utf-8") == format_tables.markdown()
