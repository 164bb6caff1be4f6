"""The registry: which format reads a tree, and what it says when none or several do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from flmd import formats
from flmd.errors import InputError, ParamsError
from flmd.formats import Format
from flmd.formats.dlib_xml import DlibXml
from flmd.tree import open_tree

XML = "<dataset><images></images></dataset>"
CSV = "," + ",".join(map(str, range(136))) + "\n"


@pytest.fixture
def plugins(monkeypatch):
    """Pretend that these entry points are installed."""

    def install(*entries: SimpleNamespace) -> None:
        monkeypatch.setattr(formats, "entry_points", lambda group: list(entries))
        formats._registry.cache_clear()

    yield install
    formats._registry.cache_clear()


def entry(name: str, load) -> SimpleNamespace:
    return SimpleNamespace(name=name, value=f"plugin:{name}", load=load)


def tree_of(folder: Path, **files: str):
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return open_tree(folder)


def test_built_in_formats_know_their_own_names():
    for name in formats.BUILT_IN:
        assert formats.get(name).name == name
        assert formats.get(name) is formats.get(name)
        assert isinstance(formats.get(name), Format)


def test_the_only_fitting_format_is_chosen(tmp_path):
    with tree_of(tmp_path, a_xml=XML) as tree:
        fmt, found = formats.choose(tree)
    assert fmt.name == "dlib-xml"
    assert found.files == ("a.xml",)


def test_several_fitting_formats_are_listed(tmp_path):
    with tree_of(tmp_path, a_xml=XML, b_csv=CSV) as tree:
        with pytest.raises(InputError, match="several formats fit: dlib-xml, youtube-faces-csv; choose one"):
            formats.choose(tree)
        assert formats.choose(tree, "youtube-faces-csv")[1].files == ("b.csv",)


def test_none_fitting_names_every_unmet_requirement(tmp_path):
    with tree_of(tmp_path, a_xml="<annotation/>") as tree, pytest.raises(InputError) as caught:
        formats.choose(tree)
    text = str(caught.value)
    assert "dlib-xml: no *.xml whose root element is <dataset>" in text
    assert "the root of a.xml is <annotation>" in text
    assert "youtube-faces-csv: no *.csv with the header" in text
    assert "\n" not in text


def test_a_named_format_that_does_not_fit_says_why(tmp_path):
    with tree_of(tmp_path, b_csv=CSV) as tree, pytest.raises(InputError, match=r"not dlib-xml: no \*\.xml"):
        formats.choose(tree, "dlib-xml")


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ParamsError, match=r"unknown format 'dlib_xml'.*did you mean 'dlib-xml'"):
        formats.get("dlib_xml")


def test_a_plugin_is_a_format_like_any_other(plugins):
    class Mine(DlibXml):
        name = "mine"

    plugins(entry("mine", lambda: Mine))
    assert formats.names() == [*formats.BUILT_IN, "mine"]
    assert formats.get("mine").name == "mine"
    assert formats.broken() == {}


def test_broken_plugins_are_reported_and_left_out(plugins, tmp_path):
    def missing():
        raise ImportError("no module named\n'gone'")

    class Uncounted(DlibXml):
        scheme_in = Format.scheme_in

    plugins(
        entry("gone", missing),
        entry("number", lambda: int),
        entry("dlib-xml", lambda: DlibXml),
        entry("uncounted", lambda: Uncounted),
    )
    assert formats.names() == list(formats.BUILT_IN)
    assert formats.broken() == {
        "gone": "ImportError: no module named 'gone'",
        "number": "TypeError: plugin:number is not a flmd.formats.Format",
        "dlib-xml": "a format of this name exists already",
        "uncounted": "TypeError: plugin:uncounted has neither a scheme nor a scheme_in that counts points",
    }
    with pytest.raises(
        ParamsError, match="format 'gone' comes from a plugin that does not load: ImportError"
    ):
        formats.get("gone")
    with tree_of(tmp_path, a_xml=XML) as tree:
        assert formats.choose(tree)[0].name == "dlib-xml"
