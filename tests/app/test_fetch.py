"""Fetching from servers on this machine that lie, stall and lead astray, names that change their mind."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmd.app import addresses, fetch
from flmd.app.fetch import FetchError, FetchLimits, fetch_picture
from tests.app.picture_server import (
    PictureServer,
    body,
    drips,
    floods,
    leads_to,
    picture_server,
    silent,
)

PNG = cv2.imencode(".png", np.zeros((4, 5, 3), np.uint8))[1].tobytes()
SHORT = FetchLimits(seconds=0.5, allow_private=True)
LOCAL = FetchLimits(allow_private=True)


def refusal(url: str, limits: FetchLimits | None = None) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch_picture(url, limits)
    text = str(caught.value)
    assert text == " ".join(text.split())
    assert "Traceback" not in text
    assert "Error(" not in text
    return caught.value


@pytest.fixture
def server() -> Iterator[PictureServer]:
    with picture_server({"/face.png": body(PNG)}) as server:
        yield server


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Name -> the addresses that look-ups give, one by one; the last one for ever. Numbers are themselves."""
    table: dict[str, list[str]] = {}

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host.replace(".", "").isdecimal():
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        if host not in table:
            raise socket.gaierror(-2, "Name or service not known")
        given = table[host].pop(0) if len(table[host]) > 1 else table[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port)) for text in given.split()]

    monkeypatch.setattr(fetch.socket, "getaddrinfo", getaddrinfo)
    return table


@pytest.fixture
def one_is_public(monkeypatch: pytest.MonkeyPatch, server: PictureServer) -> PictureServer:
    """127.0.0.1 counts as a server on the internet, with its port; everything else is judged as ever."""
    real = addresses.is_public

    def judged(address: addresses.Address) -> bool:
        return str(address) == "127.0.0.1" or real(address)

    monkeypatch.setattr(addresses, "is_public", judged)
    monkeypatch.setattr(fetch, "ALLOWED_PORTS", fetch.ALLOWED_PORTS | {server.port})
    return server


def test_a_picture_comes_as_it_was_sent(server: PictureServer) -> None:
    assert fetch_picture(f"  {server.url('/face.png')}#part ", LOCAL) == PNG
    [head] = server.calls
    assert head.startswith("GET /face.png HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n" in head
    assert "Accept-Encoding: identity\r\n" in head
    assert not {"Cookie", "Authorization", "Referer"} & {
        line.partition(":")[0] for line in head.split("\r\n")
    }


@pytest.mark.parametrize(
    "url",
    [
        "",
        "face.png",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://example.org/face.png",
        "gopher://127.0.0.1/x",
        "data:image/png;base64,iVBORw0KGgo=",
        "javascript:alert(1)",
        "//example.org/face.png",
        "http:///face.png",
        "http://",
        "http://[::1",
        "http://example.org:99999/",
        "http://example.org:x/",
        "http://example.org/a b.png",
        "http://example.org/\r\nX-Evil: 1",
        "http://example.org\\@127.0.0.1/",
        "http://name:secret@example.org/face.png",
        "http://name@example.org/face.png",
        "http://example.org:22/face.png",
        "http://example.org:0/face.png",
        "https://example.org:6379/",
        "http://example.org/" + "a" * 5000,
    ],
)
def test_what_is_no_address_of_a_picture_is_never_looked_up(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch.socket, "getaddrinfo", lambda *_, **__: pytest.fail("looked up"))
    error = refusal(url)
    assert error.reason == "address"
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::1]",
        "[fe80::1%25lo]",
        "169.254.169.254",
        "10.0.0.1",
        "１２７.0.0.1",
    ],
)
def test_no_spelling_of_this_machine_is_called(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.HTTPConnection, "connect", lambda _: pytest.fail("connected"))
    error = refusal(f"http://{host}:8080/")
    # where the system has no IPv6, or does not know a spelling, the name leads nowhere
    assert error.reason in ("refused", "no_answer", "address")
    if host in ("127.0.0.1", "localhost", "127.1", "0.0.0.0", "169.254.169.254", "10.0.0.1"):
        assert error.reason == "refused"


def test_a_name_with_one_private_address_among_public_ones_is_refused(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch.HTTPConnection, "connect", lambda _: pytest.fail("connected"))
    names["two.test"] = ["93.184.216.34 10.0.0.7"]
    assert refusal("http://two.test/face.png").reason == "refused"


def test_a_name_that_changes_its_mind_is_looked_up_once(
    names: dict[str, list[str]], one_is_public: PictureServer
) -> None:
    names["rebinds.test"] = ["127.0.0.1", "127.0.0.2"]
    with picture_server({"/face.png": body(b"secret")}, host="127.0.0.2", port=one_is_public.port) as inside:
        assert fetch_picture(one_is_public.url("/face.png", host="rebinds.test")) == PNG
        assert inside.calls == []
    assert names["rebinds.test"] == ["127.0.0.2"]  # one look-up was used up, the second not
    assert f"Host: rebinds.test:{one_is_public.port}\r\n" in one_is_public.calls[0]


def test_a_redirect_is_checked_like_a_new_address(
    names: dict[str, list[str]], one_is_public: PictureServer
) -> None:
    names.update({"pictures.test": ["127.0.0.1"], "inside.test": ["127.0.0.2"]})
    port = one_is_public.port
    with picture_server({"/face.png": body(PNG)}, host="127.0.0.2", port=port) as inside:
        for place, reason in {
            f"http://127.0.0.2:{port}/face.png": "refused",
            f"http://inside.test:{port}/face.png": "refused",
            f"//inside.test:{port}/face.png": "refused",
            "file:///etc/passwd": "address",
            f"http://pictures.test:{port + 1}/face.png": "address",
            f"http://name:secret@pictures.test:{port}/face.png": "address",
            "http://[": "address",
        }.items():
            one_is_public.answers["/moved"] = leads_to(place)
            error = refusal(one_is_public.url("/moved", host="pictures.test"))
            assert error.reason == reason, place
            assert "secret" not in str(error)
        assert inside.calls == []


def test_a_redirect_to_a_name_that_changed_its_mind_is_looked_up_again(
    names: dict[str, list[str]], one_is_public: PictureServer
) -> None:
    names["rebinds.test"] = ["127.0.0.1", "127.0.0.2"]
    one_is_public.answers["/moved"] = leads_to("/face.png")
    with picture_server({"/face.png": body(PNG)}, host="127.0.0.2", port=one_is_public.port) as inside:
        assert refusal(one_is_public.url("/moved", host="rebinds.test")).reason == "refused"
        assert inside.calls == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temp", "308 Permanent"])
def test_five_redirects_are_followed_and_no_more(server: PictureServer, status: str) -> None:
    for at in range(1, 7):
        server.answers[f"/{at}"] = leads_to(f"/{at - 1}" if at > 1 else "face.png", status)
    assert fetch_picture(server.url("/5"), LOCAL) == PNG
    assert refusal(server.url("/6"), LOCAL).reason == "redirects"


def test_a_loop_of_redirects_ends(server: PictureServer) -> None:
    server.answers.update({"/a": leads_to("/b"), "/b": leads_to("/a")})
    assert refusal(server.url("/a"), LOCAL).reason == "redirects"
    assert len(server.calls) == 6


def test_private_addresses_by_a_flag_but_none_that_is_nobody() -> None:
    assert refusal("http://0.0.0.0:8080/", SHORT).reason == "refused"
    assert refusal("http://224.0.0.1:8080/", SHORT).reason == "refused"


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        silent,
        drips(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        drips(HEAD + b"Content-Length: 1000000\r\n\r\n" + PNG, b"x"),
        drips(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        drips(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "head", "body", "chunks", "chunk size", "continue"],
)
def test_the_time_is_for_all_of_it(server: PictureServer, answer: object) -> None:
    server.answers["/slow"] = answer  # type: ignore[assignment]
    began = time.monotonic()
    error = refusal(server.url("/slow"), SHORT)
    assert error.reason == "too_slow"
    assert "0.5 seconds" in str(error)
    assert time.monotonic() - began < 10  # a guard against hanging, not a measurement


def test_a_slow_look_up_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(fetch.socket, "getaddrinfo", lambda *_, **__: [over.wait(20)] * 0)
    try:
        assert refusal("http://example.org/", SHORT).reason == "no_answer"
    finally:
        over.set()


def test_redirects_share_the_time(server: PictureServer) -> None:
    def later(call: object) -> None:
        server.over.wait(0.2)
        leads_to("/later")(call)  # type: ignore[arg-type]

    server.answers["/later"] = later
    assert refusal(server.url("/later"), SHORT).reason == "too_slow"
    assert len(server.calls) < 4


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (HEAD + b"\r\n" + PNG, b"x" * 65536),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        (HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n", b"x" * 65536),
    ],
    ids=["until closed", "chunked", "length"],
)
def test_an_endless_body_ends_at_the_limit(server: PictureServer, head: bytes, piece: bytes) -> None:
    server.answers["/endless"] = floods(head, piece)
    error = refusal(server.url("/endless"), FetchLimits(max_bytes=1 << 20, allow_private=True))
    assert error.reason == "too_large"
    assert "larger than 1 MB" in str(error)


def test_a_body_of_exactly_the_limit_is_taken(server: PictureServer) -> None:
    assert fetch_picture(server.url("/face.png"), FetchLimits(max_bytes=len(PNG), allow_private=True)) == PNG
    small = FetchLimits(max_bytes=len(PNG) - 1, allow_private=True)
    assert refusal(server.url("/face.png"), small).reason == "too_large"


def test_an_endless_head_ends(server: PictureServer) -> None:
    server.answers["/head"] = floods(HEAD, b"X-More: x\r\n" * 1000)
    server.answers["/line"] = floods(HEAD + b"X-Long: ", b"x" * 65536)
    assert refusal(server.url("/head"), LOCAL).reason == "no_answer"
    assert refusal(server.url("/line"), LOCAL).reason == "no_answer"


def test_a_body_cut_short_is_not_a_picture(server: PictureServer) -> None:
    server.answers["/cut"] = body(PNG[:30], length=len(PNG))
    assert refusal(server.url("/cut"), LOCAL).reason == "truncated"
    server.answers["/chunk"] = lambda call: call.send(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n" + PNG[:30]
    )
    assert refusal(server.url("/chunk"), LOCAL).reason == "truncated"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>face</html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"%PDF-1.7",
        gzip.compress(PNG),
    ],
    ids=["empty", "html", "svg", "eps", "pdf", "gzip"],
)
def test_what_the_header_calls_a_picture_is_looked_at(server: PictureServer, content: bytes) -> None:
    extra = "Content-Type: image/png\r\nContent-Encoding: gzip\r\n"
    server.answers["/x.png"] = body(content, extra=extra)
    error = refusal(server.url("/x.png"), LOCAL)
    assert error.reason == "not_a_picture"
    assert "JPEG, PNG" in str(error)


def test_a_picture_that_the_header_calls_text_is_one(server: PictureServer) -> None:
    server.answers["/x.txt"] = body(PNG, extra="Content-Type: text/plain\r\n")
    assert fetch_picture(server.url("/x.txt"), LOCAL) == PNG


def test_what_the_server_answers_is_said(server: PictureServer) -> None:
    assert "answers 404 Not Found" in str(refusal(server.url("/gone"), LOCAL))
    server.answers["/nowhere"] = body(b"", status="302 Found")
    assert "answers 302" in str(refusal(server.url("/nowhere"), LOCAL))
    server.answers["/garbage"] = lambda call: call.send(b"\x00\xff" * 100 + b"\r\n\r\n")
    assert refusal(server.url("/garbage"), LOCAL).reason == "no_answer"


def test_nobody_there(names: dict[str, list[str]]) -> None:
    names["closed.test"] = ["127.0.0.1"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert refusal(f"http://closed.test:{port}/", LOCAL).reason == "no_answer"
    assert "no server called unknown.test" in str(refusal("http://unknown.test/"))


def test_the_next_address_is_tried(names: dict[str, list[str]], server: PictureServer) -> None:
    names["several.test"] = ["127.0.0.3 127.0.0.1"]  # nobody listens at the first
    assert fetch_picture(server.url("/face.png", host="several.test"), LOCAL) == PNG


def test_proxies_of_the_environment_are_not_used(
    server: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch_picture(server.url("/face.png"), LOCAL) == PNG


def authority(folder: Path, name: str) -> ssl.SSLContext:
    """A server's certificate for ``name``, signed by itself; ``folder/ca.pem`` is what to trust."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now - day, now + day)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "all.pem").write_bytes(pem + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "all.pem")
    return context


def test_a_certificate_must_name_the_host_that_was_typed(
    names: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = authority(tmp_path, "pictures.test")
    names.update({"pictures.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]})
    with picture_server({"/face.png": body(PNG)}, context=context) as server:
        url = server.url("/face.png", scheme="https", host="pictures.test")
        assert "cannot prove who it is" in str(refusal(url, LOCAL))  # nobody vouches for it
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert fetch_picture(url, LOCAL) == PNG
        assert server.names[-1] == "pictures.test"
        assert len(server.calls) == 1
        other = server.url("/face.png", scheme="https", host="other.test")
        assert "cannot prove who it is" in str(refusal(other, LOCAL))
        assert len(server.calls) == 1


def test_a_handshake_that_never_ends_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}/"
        assert refusal(url, SHORT).reason == "too_slow"


def test_a_plain_server_under_https() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            line, _ = plain.accept()
            with line:
                line.recv(65536)
                line.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        error = refusal(f"https://127.0.0.1:{plain.getsockname()[1]}/", LOCAL)
    assert error.reason == "no_answer"


@given(st.text(max_size=40) | st.text(max_size=30).map(lambda t: "http://" + t))
def test_any_text_is_refused_in_words(text: str) -> None:
    """No name resolves here, and literals are this machine's or nobody's, unless the text says 8.8.8.8."""

    def nobody(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch.socket, "getaddrinfo", nobody)
        assert refusal(text).reason in ("address", "no_answer")


def test_what_an_address_may_carry_is_judged_by_the_numbers() -> None:
    """The look-up's numbers are what counts, also those that ``ipaddress`` writes differently."""
    assert addresses.parsed("::ffff:7f00:1") == ipaddress.ip_address("::ffff:127.0.0.1")
