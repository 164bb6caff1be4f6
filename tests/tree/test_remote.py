"""Trees behind addresses: an HTTP server on 127.0.0.1, a file system in memory, a zip chained to a file."""

from __future__ import annotations

import functools
import http.server
import threading
import zipfile

import fsspec
import pytest

from flmd.errors import InputError
from flmd.tree import Limits, is_address, open_beside, open_tree


@pytest.fixture
def served(tmp_path):
    """A folder and the address it is served at."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tmp_path, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def test_a_path_is_no_address(tmp_path):
    assert not is_address(tmp_path)
    assert not is_address("a/b.zip")
    assert is_address("s3://bucket/a.zip")


def test_a_password_opens_the_address_and_is_not_told(served):
    folder, address = served
    (folder / "a.xml").write_text("<a/>")
    secret = address.replace("://", "://ann:s3cret@")
    with open_tree(f"{secret}/a.xml") as tree:
        assert tree.read("a.xml") == b"<a/>"
        told = [tree.origin, tree.where("a.xml"), repr(tree)]
        with pytest.raises(InputError) as missing:
            tree.read("b.xml")
    with pytest.raises(InputError) as gone:
        open_tree(f"{secret}/gone.zip")
    host = address.partition("://")[2]
    for text in (*told, str(missing.value), str(gone.value)):
        assert "s3cret" not in text
        assert f"***@{host}" in text


def test_a_folder_in_memory_is_a_tree(memory):
    memory.pipe({"/set/a/x.txt": b"0123456789", "/set/y.bin": b"yy", "/set/__MACOSX/z": b"junk"})
    with open_tree("memory://set") as tree:
        assert tree.names == ["a/x.txt", "y.bin"]
        assert tree.read("a/x.txt") == b"0123456789"
        assert tree.read("a/x.txt", 3, 4) == b"3456"
        assert tree.read("a/x.txt", 8, 100) == b"89"
        assert tree.size("y.bin") == 2
        assert tree.where("y.bin") == "memory://set/y.bin"
        with tree.open("a/x.txt") as stream:
            assert stream.readline() == b"0123456789"
            assert stream.seek(2) == 2
            assert stream.read(2) == b"23"
        with pytest.raises(InputError, match="no such file"):
            tree.read("nothing")


def test_beside_one_file_deeper_ones_are_found_by_name(memory):
    memory.pipe({"/set/l.json": b"{}", "/set/b.jpg": b"2", "/set/a/x.jpg": b"1"})
    with open_beside("memory://set/l.json") as tree:
        assert tree.names == ["b.jpg", "l.json"]
        assert "a/y.jpg" not in tree
        assert (tree.read("a/x.jpg"), tree.size("a/x.jpg")) == (b"1", 1)
        assert tree.all_names() == ["a/x.jpg", "b.jpg", "l.json"]


def test_one_file_over_http(served):
    folder, address = served
    (folder / "labels.xml").write_bytes(b"<dataset/>")
    with open_tree(f"{address}/labels.xml") as tree:
        assert tree.names == ["labels.xml"]
        assert tree.read("labels.xml") == b"<dataset/>"


def test_an_archive_over_http_is_fetched_once_and_its_copy_removed(served, tmp_path_factory):
    folder, address = served
    scratch = tmp_path_factory.mktemp("scratch")
    with zipfile.ZipFile(folder / "set.zip", "w") as packed:
        packed.writestr("set/a.txt", "inside")
    with open_tree(f"{address}/set.zip", scratch=scratch) as tree:
        assert tree.names == ["set/a.txt"]
        assert tree.origin == "set.zip"
        (folder / "set.zip").unlink()
        assert tree.read("set/a.txt") == b"inside"
    del tree
    assert list(scratch.iterdir()) == []


def test_a_member_of_a_zip_by_address(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        packed.writestr("in/a.txt", "inside")
    with open_tree(f"zip://in::file://{tmp_path}/set.zip") as tree:
        assert tree.read("a.txt") == b"inside"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nonsense://x", "not an address that can be read"),
        ("memory://nothing/there", "no such file or folder"),
        ("http://127.0.0.1:9/x.zip", "see to the address, the network|no such file"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(memory, address, message):
    with pytest.raises(InputError, match=message) as caught:
        open_tree(address)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(address)


def test_an_archive_that_is_too_large_is_refused(served):
    folder, address = served
    with zipfile.ZipFile(folder / "set.zip", "w") as packed:
        packed.writestr("a.txt", bytes(5000))
    with pytest.raises(InputError, match="more than 1000 bytes"):
        open_tree(f"{address}/set.zip", limits=Limits(max_total_bytes=1000))
