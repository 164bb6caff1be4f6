"""Downloads from a real server on 127.0.0.1 that misbehaves in every way a real one does."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

import flmd
from flmd.errors import InputError, SourceError
from flmd.sources.fetch.download import Fetched, fetch, public_address
from flmd.sources.fetch.manifest import Known, Manifest, Official, load_manifest, save_manifest
from flmd.tree import Limits, open_tree


def archive(seed: int, size: int = 400_000) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        member = tarfile.TarInfo("faces/x.jpg")
        member.size = size
        tar.addfile(member, io.BytesIO(random.Random(seed).randbytes(size)))
    return stream.getvalue()


BODY, OTHER = archive(1), archive(2)
SHA = hashlib.sha256(BODY).hexdigest()


@dataclass
class Answer:
    """How one request is answered; the server's ``answers`` are used up in turn, the last one for ever."""

    body: bytes = BODY
    etag: str | None = '"one"'
    modified: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True  # whether Range is honoured
    if_range: bool = True  # whether If-Range is
    stop_after: int | None = None  # bytes of body, then the connection closes
    stall: bool = False  # after stop_after, silence instead
    pace: float = 0.0  # seconds between pieces of 8 KiB
    length: bool = True  # whether Content-Length is sent
    chunked: bool = False


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = [Answer()]
        self.seen: list[dict[str, str]] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/faces.tar.gz"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that hangs up is what some tests do


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.seen.append(dict(self.headers))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        status, body, extra = answer.status, answer.body, dict(answer.headers)
        wanted, unless = self.headers.get("Range"), self.headers.get("If-Range")
        fresh = not answer.if_range or unless in (None, answer.etag, answer.modified)
        if status == 200 and wanted and answer.ranges and fresh:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                status, extra["Content-Range"], body = 416, f"bytes */{len(body)}", b""
            else:
                status = 206
                extra["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                body = body[start:]
        self.send_response(status)
        validators = {"ETag": answer.etag, "Last-Modified": answer.modified}
        for key, value in {**validators, **extra}.items():
            if value is not None:
                self.send_header(key, value)
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.send_body(answer, body[: answer.stop_after])

    def send_body(self, answer: Answer, body: bytes) -> None:
        for at in range(0, len(body), 8192):
            piece = body[at : at + 8192]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if answer.chunked else piece)
            if answer.pace:
                self.wfile.flush()
                time.sleep(answer.pace)
        if answer.stall:
            self.wfile.flush()
            self.server.over.wait(20)
        elif answer.chunked and answer.stop_after is None:
            self.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@dataclass
class Place:
    """A target in an empty folder, and its manifest in another."""

    target: Path
    manifest: Path

    def fetch(self, source: str, **options: object) -> Fetched:
        settings = {"accept_license": False, "retries": 3, "backoff": 0.01, "timeout": 5.0, **options}
        return fetch(source, self.target, manifest=self.manifest, **settings)  # type: ignore[arg-type]

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.target.parent.iterdir())

    @property
    def part(self) -> Path:
        return self.target.parent / "raw.part"

    def know(self, url: str, body: bytes) -> None:
        known = Known(hashlib.sha256(body).hexdigest(), len(body))
        save_manifest(self.manifest, Manifest(None, {url: known}))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "raw").mkdir()
    return Place(tmp_path / "raw" / "raw", tmp_path / "manifests" / "m.json")


def check(place: Place, found: Fetched, url: str) -> None:
    assert place.target.read_bytes() == BODY
    assert found == Fetched(SHA, len(BODY), url)
    assert place.files == ["raw"]
    assert load_manifest(place.manifest).known[url] == Known(SHA, len(BODY))


def ranges(server: Server) -> list[str | None]:
    return [headers.get("Range") for headers in server.seen]


# HTTP: what goes right.


def test_first_download_is_recorded_and_then_enforced(server: Server, place: Place) -> None:
    check(place, place.fetch(server.url), server.url)
    check(place, place.fetch(server.url), server.url)
    server.answers = [Answer(OTHER)]
    with pytest.raises(SourceError) as caught:
        place.fetch(server.url)
    assert SHA in str(caught.value)
    assert hashlib.sha256(OTHER).hexdigest() in str(caught.value)
    assert place.target.read_bytes() == BODY  # the old target stays
    assert place.files == ["raw"]


def test_wrong_content_makes_no_target(server: Server, place: Place) -> None:
    place.know(server.url, OTHER)
    with pytest.raises(SourceError, match=SHA):
        place.fetch(server.url)
    assert place.files == []


def test_a_chunked_body_without_a_length(server: Server, place: Place) -> None:
    server.answers = [Answer(chunked=True)]
    check(place, place.fetch(server.url), server.url)


def test_content_encoding_is_not_undone(server: Server, place: Place) -> None:
    server.answers = [Answer(headers={"Content-Encoding": "gzip"})]
    check(place, place.fetch(server.url), server.url)
    assert server.seen[0]["Accept-Encoding"] == "identity"


def test_redirects_are_followed_to_the_end(server: Server, place: Place) -> None:
    away = Answer(status=302, body=b"", headers={"Location": "/elsewhere"})
    server.answers = [away, away, Answer()]
    check(place, place.fetch(server.url), server.url)
    server.answers = [away]
    with pytest.raises(SourceError, match="redirects"):
        place.fetch(server.url)


# HTTP: interruptions.


def test_a_broken_body_is_resumed(server: Server, place: Place) -> None:
    server.answers = [Answer(stop_after=100_000), Answer(stop_after=50_000), Answer()]
    check(place, place.fetch(server.url), server.url)
    assert ranges(server) == [None, "bytes=100000-", "bytes=150000-"]
    assert [headers.get("If-Range") for headers in server.seen] == [None, '"one"', '"one"']


def test_a_broken_chunked_body_is_resumed(server: Server, place: Place) -> None:
    server.answers = [Answer(chunked=True, stop_after=98_304), Answer()]
    check(place, place.fetch(server.url), server.url)
    assert len(server.seen) == 2


def test_last_modified_serves_as_validator(server: Server, place: Place) -> None:
    date = formatdate(1e9, usegmt=True)
    first = Answer(etag='W/"weak"', modified=date, stop_after=100_000)
    server.answers = [first, Answer(etag='W/"weak"', modified=date)]
    check(place, place.fetch(server.url), server.url)
    assert server.seen[1]["If-Range"] == date


def test_without_a_validator_only_a_known_digest_allows_resuming(server: Server, place: Place) -> None:
    server.answers = [Answer(etag=None, stop_after=100_000), Answer(etag=None)]
    check(place, place.fetch(server.url), server.url)
    server.answers = [Answer(etag=None, stop_after=100_000), Answer(etag=None)]
    check(place, place.fetch(server.url), server.url)
    assert ranges(server) == [None, None, None, "bytes=100000-"]


@pytest.mark.parametrize(
    "second", [Answer(ranges=False), Answer(etag='"two"'), Answer(etag='"two"', if_range=False)]
)
def test_what_cannot_be_resumed_begins_again(server: Server, place: Place, second: Answer) -> None:
    """A server without ranges, one whose file changed, and one that ignores If-Range as well."""
    server.answers = [Answer(OTHER, stop_after=100_000), second]
    check(place, place.fetch(server.url), server.url)
    assert ranges(server)[1] == "bytes=100000-"


def test_more_bytes_than_the_server_has(server: Server, place: Place) -> None:
    longer = archive(3, 500_000)
    server.answers = [Answer(longer, stop_after=len(BODY) + 10), Answer(if_range=False, etag=None)]
    check(place, place.fetch(server.url), server.url)
    assert len(server.seen) == 3  # 416, then from the beginning


def test_a_part_that_is_whole_is_recognised_by_416(server: Server, place: Place) -> None:
    notes = {"address": server.url, "total": None, "validator": '"one"'}
    place.part.write_bytes(BODY)
    place.part.with_name("raw.part.json").write_text(json.dumps(notes))
    check(place, place.fetch(server.url), server.url)
    assert len(server.seen) == 1


def test_a_part_of_something_else_is_not_used(server: Server, place: Place) -> None:
    others: list[object] = [{"address": "http://other", "total": None, "validator": '"one"'}, {}, []]
    for notes in others:
        place.part.write_bytes(OTHER[:5000])
        place.part.with_name("raw.part.json").write_text(json.dumps(notes))
        check(place, place.fetch(server.url), server.url)
    assert ranges(server) == [None, None, None]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_servers_that_are_busy_are_asked_again(server: Server, place: Place, status: int) -> None:
    server.answers = [Answer(status=status, body=b"busy"), Answer(status=status, body=b"busy"), Answer()]
    check(place, place.fetch(server.url), server.url)
    assert len(server.seen) == 3


def test_waits_grow_and_heed_the_server_within_reason(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("flmd.sources.fetch.partial.time.sleep", waits.append)
    later = formatdate(time.time() + 30, usegmt=True)
    server.answers = [
        Answer(status=503, headers={"Retry-After": value}) for value in ("", "7", "86400", later, "soon")
    ]
    server.answers.append(Answer())
    check(place, place.fetch(server.url, retries=5, backoff=1.0), server.url)
    assert waits[:3] == [1.0, 7.0, 60.0]
    assert waits[3] == pytest.approx(30, abs=2)
    assert waits[4] == 16.0


def test_retries_are_bounded_and_what_was_had_is_kept(server: Server, place: Place) -> None:
    server.answers = [Answer(stop_after=10_000)]
    with pytest.raises(SourceError, match=r"attempt 4 of 4\); 40000 bytes are kept; .*run again"):
        place.fetch(server.url)
    assert place.files == ["raw.part", "raw.part.json"]
    server.answers = [Answer()]
    check(place, place.fetch(server.url), server.url)
    assert ranges(server)[4] == "bytes=40000-"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_refusals_are_final(server: Server, place: Place, status: int) -> None:
    server.answers = [Answer(status=status, body=b"no")]
    with pytest.raises(SourceError, match=rf"{server.url}: the server answers {status}"):
        place.fetch(server.url)
    assert len(server.seen) == 1
    assert place.files == []


def test_a_stall_ends_and_is_resumed(server: Server, place: Place) -> None:
    server.answers = [Answer(stop_after=1 << 18, stall=True), Answer()]
    check(place, place.fetch(server.url, timeout=0.3), server.url)
    assert ranges(server)[1] == f"bytes={1 << 18}-"
    server.answers = [Answer(stop_after=0, stall=True)]
    with pytest.raises(SourceError, match=r"no byte came for 0\.3 seconds"):
        place.fetch(server.url, timeout=0.3, retries=1)


def test_nobody_listens(place: Place) -> None:
    with Server() as server:
        url = server.url
    with pytest.raises(SourceError, match=r"no connection .*attempt 2 of 2"):
        place.fetch(url, retries=1)
    with pytest.raises(SourceError, match="check the address"):
        place.fetch("http://")
    assert place.files == []


KILLED = """
import sys
from pathlib import Path
from flmd.sources.fetch.download import fetch
url, target, manifest = sys.argv[1:]
print(fetch(url, Path(target), manifest=Path(manifest), accept_license=False).sha256)
"""


def start(place: Place, url: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(flmd.__file__).parents[1])}
    command = [sys.executable, "-c", KILLED, url, str(place.target), str(place.manifest)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_killed_download_goes_on_where_it_was(server: Server, place: Place) -> None:
    body = archive(5, 3_000_000)
    server.answers = [Answer(body, pace=0.004), Answer(body)]
    place.target.write_bytes(b"the old data")
    with start(place, server.url) as child:
        wait_until(lambda: place.part.exists() and place.part.stat().st_size > 500_000)
        with pytest.raises(SourceError, match="another process is downloading"):
            place.fetch(server.url)
        child.kill()
    had = place.part.stat().st_size
    assert 500_000 < had < len(body)
    assert place.part.read_bytes() == body[:had]
    assert place.target.read_bytes() == b"the old data"
    place.target.unlink()  # as DVC does before it runs a stage again
    with start(place, server.url) as child:
        printed, _ = child.communicate(timeout=30)
    assert printed.strip() == hashlib.sha256(body).hexdigest()
    assert place.target.read_bytes() == body
    assert ranges(server) == [None, f"bytes={had}-"]
    assert place.files == ["raw"]


def test_state_dir_holds_the_part(server: Server, place: Place, tmp_path: Path) -> None:
    server.answers = [Answer(stop_after=10_000)]
    with pytest.raises(SourceError):
        place.fetch(server.url, retries=0, state_dir=tmp_path / "state")
    assert place.files == []
    assert (tmp_path / "state" / "raw.part").stat().st_size == 10_000
    server.answers = [Answer()]
    check(place, place.fetch(server.url, state_dir=tmp_path / "state"), server.url)
    assert not list((tmp_path / "state").iterdir())


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second file system")
def test_state_dir_on_another_disk(server: Server, place: Place) -> None:
    state = Path("/dev/shm") / f"flmd-test-{os.getpid()}"
    try:
        check(place, place.fetch(server.url, state_dir=state), server.url)
        assert not list(state.iterdir())
    finally:
        state.rmdir()


# HTTP: bodies that are no data set.


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>log in", b"\xef\xbb\xbf \n<!-- x -->\n<HTML lang=en>"])
def test_a_web_page_is_refused(server: Server, place: Place, page: bytes) -> None:
    server.answers = [Answer(page)]
    with pytest.raises(SourceError, match="serves a web page; expected an archive"):
        place.fetch(server.url)
    assert place.files == []
    assert not place.manifest.exists()


@pytest.mark.parametrize("body", [b'{"error": "quota"}', BODY[:-2000], bytes(10240), b""])
def test_what_does_not_open_as_a_tree_is_refused(server: Server, place: Place, body: bytes) -> None:
    server.answers = [Answer(body)]
    with pytest.raises(SourceError, match="no usable archive"):
        place.fetch(server.url)
    assert place.files == []
    assert not place.manifest.exists()


@pytest.mark.parametrize("chunked", [False, True])
def test_endless_bodies_are_cut_off(server: Server, place: Place, chunked: bool) -> None:
    server.answers = [Answer(chunked=chunked)]
    with pytest.raises(SourceError, match="longer than 100000 bytes"):
        place.fetch(server.url, limits=Limits(max_total_bytes=100_000))
    assert not place.target.exists()


def test_a_full_disk_is_told_before_the_download(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "flmd.sources.fetch.http.shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})
    )
    with pytest.raises(SourceError, match=f"{len(BODY)} bytes are still to come and the disk has 1000 left"):
        place.fetch(server.url)
    assert place.files == []


def test_secrets_in_addresses_are_not_recorded(server: Server, place: Place) -> None:
    url = server.url.replace("http://", "http://me:secret@") + "?id=3&X-Amz-Signature=abc&token=t#top"
    found = place.fetch(url)
    assert found.address == server.url + "?id=3"
    assert list(load_manifest(place.manifest).known) == [server.url + "?id=3"]
    assert server.seen[0]["Authorization"].startswith("Basic ")
    server.answers = [Answer(status=404)]
    with pytest.raises(SourceError) as caught:
        place.fetch(url)
    assert "secret" not in str(caught.value)
    assert public_address("s3://bucket/a%20b.zip") == "s3://bucket/a%20b.zip"


# The licence.


def test_the_licence_has_to_be_accepted(server: Server, place: Place) -> None:
    save_manifest(place.manifest, Manifest(Official(server.url, "research only, really", "faces")))
    for source in ("official", server.url):
        with pytest.raises(SourceError) as caught:
            place.fetch(source, params_key="datasets.ibug300w")
        assert "research only, really" in str(caught.value)
        assert "set accept_license: true under datasets.ibug300w" in str(caught.value)
    assert not server.seen
    assert place.files == []
    check(place, place.fetch("official", accept_license=True), server.url)


def test_no_official_address(place: Place) -> None:
    with pytest.raises(SourceError, match=r"datasets\.<name>: no official address is known"):
        place.fetch("official", accept_license=True)


# Local sources.


def test_a_local_archive_is_copied(place: Place, tmp_path: Path) -> None:
    own = tmp_path / "own.bin"
    own.write_bytes(BODY)
    for source in (str(own), own.as_uri()):
        place.target.unlink(missing_ok=True)
        assert place.fetch(source) == Fetched(SHA, len(BODY), str(own))
        assert place.target.read_bytes() == BODY
        assert place.files == ["raw"]
    assert not place.manifest.exists()  # the bytes are the user's own
    assert own.exists()


def test_a_folder_is_packed(place: Place, tmp_path: Path) -> None:
    (tmp_path / "own" / "helen").mkdir(parents=True)
    (tmp_path / "own" / "helen" / "x.jpg").write_bytes(b"jpeg")
    found = place.fetch(str(tmp_path / "own"))
    assert found.sha256 == hashlib.sha256(place.target.read_bytes()).hexdigest()
    assert found.bytes == place.target.stat().st_size
    with open_tree(place.target) as tree:
        assert tree.read("helen/x.jpg") == b"jpeg"
    assert place.fetch(str(tmp_path / "own")).sha256 == found.sha256


def test_local_sources_that_cannot_be_used(place: Place, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder; expected sample, official, a folder"):
        place.fetch(str(tmp_path / "nowhere.zip"))
    (tmp_path / "labels.csv").write_text("a,b\n")
    with pytest.raises(InputError, match=r"labels\.csv: it is not an archive"):
        place.fetch(str(tmp_path / "labels.csv"))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(InputError, match=r"empty\.zip: the archive holds no files"):
        place.fetch(str(tmp_path / "empty.zip"))
    place.target.write_bytes(BODY)
    with pytest.raises(SourceError, match="the source is the target itself"):
        place.fetch(str(place.target))
    with pytest.raises(SourceError, match="names the host 'server'"):
        place.fetch("file://server/share/x.zip")
    assert place.target.read_bytes() == BODY


# Object stores, through fsspec's memory store.


@pytest.fixture
def bucket() -> Iterator[Callable[[bytes], str]]:
    system = fsspec.filesystem("memory")

    def put(body: bytes) -> str:
        system.pipe("/bucket/faces.tar.gz", body)
        return "memory://bucket/faces.tar.gz"

    yield put
    system.store.clear()


def test_an_object_is_fetched_and_recorded(place: Place, bucket: Callable[[bytes], str]) -> None:
    url = bucket(BODY)
    check(place, place.fetch(url), url)
    bucket(OTHER)
    with pytest.raises(SourceError, match=SHA):
        place.fetch(url)


def test_an_object_is_resumed_unless_it_changed(place: Place, bucket: Callable[[bytes], str]) -> None:
    url = bucket(BODY)
    key = str(fsspec.filesystem("memory").ukey("/bucket/faces.tar.gz"))
    for validator, start in [(key, BODY[:1000]), ("another", OTHER[:1000])]:
        place.part.write_bytes(start)
        notes = {"address": url, "total": len(BODY), "validator": validator}
        place.part.with_name("raw.part.json").write_text(json.dumps(notes))
        check(place, place.fetch(url), url)


def test_objects_that_cannot_be_had(place: Place, bucket: Callable[[bytes], str]) -> None:
    with pytest.raises(SourceError, match=r"memory://bucket/none: it cannot be read"):
        place.fetch("memory://bucket/none")
    with pytest.raises(SourceError, match="nosuch:// is no scheme"):
        place.fetch("nosuch://bucket/x")
    with pytest.raises(SourceError, match="longer than 1000 bytes"):
        place.fetch(bucket(BODY), limits=Limits(max_total_bytes=1000))
    assert not place.target.exists()


def test_s3_without_its_package_names_the_extra(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(SourceError, match=r"pip install 'flmd\[s3\]'"):
        place.fetch("s3://bucket/faces.zip")
    assert place.files == []
