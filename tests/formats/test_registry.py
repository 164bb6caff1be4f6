"""The registry: which format reads a tree, and what it says when none or several do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from flmd import formats
from flmd.cli import format_tables
from flmd.conversion.opening import open_faces
from flmd.curation.write_annotations import target_format, write_faces
from flmd.errors import FormatError, InputError, ParamsError
from flmd.formats import Certainty, Detection, Format
from flmd.formats.choosing import nearest
from flmd.formats.dlib_xml import DlibXml
from flmd.schemes import IBUG68
from flmd.tree import open_tree
from tests.factories import make_face

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


def test_none_fitting_names_the_nearest_and_what_they_lack(tmp_path):
    with tree_of(tmp_path, a_xml="<annotation/>", b_json='[{"result": [], "data": 1}]') as tree:
        with pytest.raises(InputError) as caught:
            formats.choose(tree)
        assert nearest(tree, formats.detect(tree)) == ["dlib-xml", "cvat"]
    text = str(caught.value)
    assert "dlib-xml: no *.xml whose root element is <dataset>" in text
    assert "the root of a.xml is <annotation>" in text
    assert "youtube-faces-csv" not in text
    assert f"flmd-data detect --all {tmp_path} says it of all" in text
    assert "\n" not in text
    assert len(text) < 500


def test_where_no_file_is_near_to_any_format_none_is_named(tmp_path):
    with tree_of(tmp_path, a_md="# Faces") as tree, pytest.raises(InputError) as caught:
        formats.choose(tree)
    assert str(caught.value).startswith(f"{tmp_path}: no known format fits; flmd-data detect --all ")


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


class Failing(Format):
    """A plugin with a fault in the function of that name."""

    name, title, scheme = "failing", "faults", "ibug68"

    def __init__(self, where: str) -> None:
        self._where = where

    def _fail(self, where: str) -> None:
        if where == self._where:
            raise KeyError("x")

    def detect(self, tree):
        self._fail("detect")
        return Detection(tuple(tree.names), "anything", Certainty.CERTAIN)

    def accepts(self, tree, name):
        self._fail("accepts")
        return True

    def scheme_in(self, tree, files):
        self._fail("scheme_in")
        return "points68"

    def pictures(self, tree):
        self._fail("pictures")
        return tree

    def read(self, tree, scheme, files):
        yield from DlibXml().read(tree, scheme, files)
        self._fail("read")

    def write(self, faces, target, scheme, pictures=None):
        self._fail("write")
        return DlibXml().write(faces, target, scheme)


@pytest.mark.parametrize("where", ["detect", "accepts"])
def test_a_plugin_that_fails_while_it_looks_breaks_no_other(plugins, tmp_path, where):
    plugins(entry("failing", lambda: lambda: Failing(where)))
    DlibXml().write([make_face("a.png")], tmp_path / "l.xml", IBUG68)
    with open_faces(tmp_path / "l.xml") as faces:
        assert (faces.kind, len(list(faces))) == ("dlib-xml", 1)
    with open_tree(tmp_path) as tree:
        why = formats.detect(tree)["failing"].why
    if where == "detect":
        assert why.endswith("test_registry fails while it looks at this: KeyError: 'x'")
        with pytest.raises(InputError, match="not failing: format 'failing' of .*test_registry fails"):
            open_faces(tmp_path, from_="failing").__enter__()


@pytest.mark.parametrize("where", ["scheme_in", "pictures", "read", "write"])
def test_a_plugin_that_fails_later_is_named(plugins, tmp_path, where):
    class Counting(Failing):
        scheme = None

    plugins(entry("failing", lambda: lambda: Counting(where)))
    DlibXml().write([make_face("a.png")], tmp_path / "l.xml", IBUG68)
    with (
        pytest.raises(
            FormatError, match=r"format 'failing' of .*test_registry fails while .*KeyError: 'x'; a fault"
        ),
        open_faces(tmp_path / "l.xml", from_="failing") as faces,
    ):
        write_faces(faces, formats.get("failing"), tmp_path / "out.xml", IBUG68)
    assert FormatError.exit_code == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.xml"]


def test_a_format_without_write_only_reads(plugins, tmp_path):
    class ReadOnly(Failing):
        write = Format.write

    fmt = ReadOnly("")
    assert not fmt.writes
    assert DlibXml().writes
    with pytest.raises(ParamsError, match="format failing is read only"):
        write_faces([make_face("a.png")], fmt, tmp_path / "out", IBUG68)
    with pytest.raises(ParamsError, match="format failing is read only"):
        fmt.write([], tmp_path / "out", IBUG68)
    with pytest.raises(ParamsError, match="which format"):
        target_format("x.mine", None, {"failing": fmt})
    plugins(entry("failing", lambda: lambda: fmt))
    assert format_tables.rows()[-1][3] == "no"
