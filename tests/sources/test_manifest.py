"""Manifests are read strictly, in one-line errors, and written whole and always alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flmd.errors import SourceError
from flmd.sources.fetch.manifest import Known, Manifest, Official, load_manifest, record, save_manifest

URL = "http://example.org/faces.tar.gz"
SHA = "0123456789abcdef" * 4


def write(path: Path, data: object) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    return path


def test_round_trip(tmp_path: Path) -> None:
    manifest = Manifest(Official(URL, "research only", "faces, café"), {URL: Known(SHA, 12)})
    save_manifest(tmp_path / "new" / "m.json", manifest)
    assert load_manifest(tmp_path / "new" / "m.json") == manifest
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["m.json"]


def test_the_file_is_stable_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    record(path, "http://b", Known(SHA, 2))
    record(path, "http://a", Known(SHA, 1))
    one = {"bytes": 1, "sha256": SHA}
    expected = {"known": {"http://a": one, "http://b": {**one, "bytes": 2}}}
    assert path.read_text("utf-8") == json.dumps(expected, indent=2) + "\n"
    before = path.stat()
    record(path, "http://a", Known(SHA, 1))  # nothing new: the file, a DVC dependency, is not touched
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_recording_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    official = Official(URL, "research only", "faces")
    save_manifest(path, Manifest(official))
    record(path, URL, Known(SHA, 3))
    assert load_manifest(path) == Manifest(official, {URL: Known(SHA, 3)})


def test_a_missing_manifest_is_empty(tmp_path: Path) -> None:
    assert load_manifest(tmp_path / "none.json") == Manifest()


OFFICIAL = {"url": URL, "license": "x", "about": "y"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", r"m\.json: line 1: Expecting"),
        ("[]", r"the manifest is \[\]; expected a mapping"),
        ({"offical": {}}, r"unknown key 'offical'; expected official, known"),
        ({"official": {"url": URL, "license": "x"}}, r"official: about is missing"),
        ({"official": {**OFFICIAL, "license": " "}}, r"official\.license is \" \"; expected a text"),
        ({"official": {**OFFICIAL, "sha256": SHA}}, r"unknown key 'sha256'"),
        ({"known": []}, r"known is \[\]; expected a mapping of addresses"),
        ({"known": {URL: SHA}}, r"expected a mapping with sha256, bytes"),
        ({"known": {URL: {"sha256": SHA}}}, r"bytes is missing"),
        ({"known": {URL: {"sha256": SHA.upper(), "bytes": 1}}}, r"expected 64 lower-case hexadecimal digits"),
        ({"known": {URL: {"sha256": SHA, "bytes": -1}}}, r"bytes is -1; expected a number of bytes"),
        ({"known": {URL: {"sha256": SHA, "bytes": True}}}, r"bytes is true"),
        ('{"known": {}, "known": {}}', r"the key 'known' occurs twice"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, data: object, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        load_manifest(write(tmp_path / "m.json", data))
    assert str(caught.value).startswith(str(tmp_path / "m.json"))
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match="not UTF-8"):
        load_manifest(tmp_path / "m.json")
