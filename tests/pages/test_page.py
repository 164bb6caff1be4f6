"""Templates: what comes from outside is text, wherever it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from flmd.pages.page import data_url, render
from tests.html_reading import POISON, shown, what_acts

TEMPLATE = """{% extends "base.html" %}
{% block body %}
<b class="{{ text }}">{{ text }}</b><img alt="{{ text }}" src="data:image/png;base64,">
{% endblock %}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("room") / "page.html"
    path.write_text(TEMPLATE)
    return path


def rendered(template: Path, text: str) -> str:
    return render(template, title=text, about=text, foot=text, text=text)


@pytest.mark.parametrize("poison", POISON)
def test_poisoned_text_is_shown_and_does_nothing(template: Path, poison: str) -> None:
    page = rendered(template, poison)
    assert what_acts(page) == []
    assert shown(page).count(poison) == 7  # title, heading, about, footer; text, class, alt


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r\x00")))
def test_any_text_is_shown_as_it_is(template: Path, text: str) -> None:
    page = rendered(template, text)
    assert what_acts(page) == []
    assert shown(page).count(text) >= 7


def test_passwords_of_addresses_are_masked_wherever_they_stand(template: Path) -> None:
    page = rendered(template, "https://ann:s3cret@host/a?token=t0p")
    assert not re.search("s3cret|t0p|ann", page)
    assert shown(page).count("https://***@host/a?token=***") == 7


def test_a_template_that_names_what_is_not_there_is_an_error(template: Path) -> None:
    with pytest.raises(UndefinedError, match="about"):
        render(template, title="a")


def test_a_page_of_one_file_has_the_style_sheet_in_it(template: Path) -> None:
    page = rendered(template, "a")
    assert page.count("<style>") == 1
    assert "prefers-color-scheme: dark" in page
    assert page.endswith("</html>\n")


def test_data_url() -> None:
    assert data_url("image/png", b"\x00\xff") == "data:image/png;base64,AP8="
