"""The web page under load: fifty visitors at once, who send pictures, look at the result, and come and go.

    python -m benchmarks.web_load --model best.pt --minutes 10 --cores 2

A visitor is what a browser is to Streamlit: a websocket, an upload, and requests for the pictures of the
result. One opens the page, sends a picture, fetches what is shown, thinks, sends another; after some pictures
somebody else comes. All begin in the same moment. Now and then somebody sends a file that is too large, one
that is no picture, or a photo of 12 megapixels. A wait lasts from the first byte that is sent until the last
picture of the result has arrived. Memory is what the server's process holds. Exit code 1 when somebody waited
longer than --longest, when an answer was wrong, or when memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import cv2

from benchmarks.measure import usage
from flmd.app.settings import MEGABYTE, PageSettings
from flmd.core import images

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120.0  # seconds after which a visitor is given up, which is a fault
GROWTH = 1.15  # times the memory of the first half that the second half may hold
BUSY = "Too many pictures"


@dataclass
class Seen:
    """Of all visitors: waits in seconds, by kind; answers counted; faults; memory as (seconds, MiB)."""

    waits: dict[str, list[float]] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)

    def waited(self, kind: str, seconds: float) -> None:
        self.waits.setdefault(kind, []).append(seconds)


class Visitor:
    """One who has the page open."""

    def __init__(self, http: aiohttp.ClientSession, address: str) -> None:
        self._http, self._address = http, address
        self._uploader = self._session = ""
        self._sent = 0

    async def open(self, stack: contextlib.AsyncExitStack) -> None:
        """Open the page, and wait until it is there."""
        async with self._http.get(f"{self._address}/_stcore/host-config") as answer:
            await answer.read()
        async with self._http.get(f"{self._address}/_stcore/health") as answer:
            await answer.read()
        cookies = self._http.cookie_jar.filter_cookies(self._url("/"))
        self._token = cookies["_streamlit_xsrf"].value if "_streamlit_xsrf" in cookies else ""
        self._socket = await stack.enter_async_context(
            self._http.ws_connect(
                f"{self._address}/_stcore/stream", protocols=("streamlit", self._token), max_msg_size=0
            )
        )
        await self._run("")
        if not (self._uploader and self._session):
            raise RuntimeError("the page has no place for a file")

    def _url(self, path: str) -> Any:
        import yarl

        return yarl.URL(self._address + path)

    async def send(self, name: str, data: bytes) -> str:
        """Send a file and fetch what is shown of it; "faces", "busy", "refused", or what the page says."""
        from streamlit.proto.BackMsg_pb2 import BackMsg

        ask = BackMsg()
        ask.file_urls_request.request_id = str(self._sent)
        ask.file_urls_request.file_names.append(name)
        ask.file_urls_request.session_id = self._session
        await self._socket.send_bytes(ask.SerializeToString())
        urls = None
        while urls is None:
            message = await self._message()
            if message.HasField("file_urls_response"):
                urls = message.file_urls_response.file_urls[0]
        form = aiohttp.FormData()
        form.add_field("file", data, filename=name, content_type="application/octet-stream")
        headers = {"X-Xsrftoken": self._token}
        async with self._http.put(
            self._address + "/" + urls.upload_url.lstrip("/"), data=form, headers=headers
        ) as put:
            if put.status == 413:
                return "refused"
            if put.status != 204:
                return f"an upload ended with {put.status}"
        self._sent += 1
        texts, pictures = await self._run(name, len(data), urls)
        for url in pictures:
            async with self._http.get(self._address + url) as answer:
                body = await answer.read()
                if answer.status != 200 or not body:
                    return f"a picture of the result ended with {answer.status}"
        if pictures:
            return "faces"
        said = " ".join(texts)
        return (
            "busy"
            if BUSY in said
            else "no picture"
            if "not a picture" in said
            else said or "nothing is shown"
        )

    async def _run(self, name: str, size: int = 0, urls: Any = None) -> tuple[list[str], list[str]]:
        """Let the script run; the texts of its coloured boxes, and addresses of its pictures."""
        from streamlit.proto.BackMsg_pb2 import BackMsg

        ask = BackMsg()
        ask.rerun_script.query_string = ""
        if urls is not None:
            state = ask.rerun_script.widget_states.widgets.add()
            state.id = self._uploader
            info = state.file_uploader_state_value.uploaded_file_info.add()
            info.name, info.size, info.file_id = name, size, urls.file_id
            info.file_urls.CopyFrom(urls)
        await self._socket.send_bytes(ask.SerializeToString())
        texts: list[str] = []
        pictures: list[str] = []
        while True:
            message = await self._message()
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self._session = message.new_session.initialize.session_id
                texts, pictures = [], []
            elif kind == "delta" and message.delta.HasField("new_element"):
                element = message.delta.new_element
                if element.HasField("file_uploader"):
                    self._uploader = element.file_uploader.id
                if element.HasField("imgs"):
                    pictures += [image.url for image in element.imgs.imgs]
                if element.HasField("alert"):
                    texts.append(element.alert.body)
                if element.HasField("exception"):
                    texts.append(element.exception.message)
            elif kind == "script_finished" and message.script_finished == 0:
                return texts, pictures

    async def _message(self) -> Any:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        received = await self._socket.receive()
        if received.type is not aiohttp.WSMsgType.BINARY:
            raise RuntimeError(f"the server ended the connection ({received.type.name} {received.data})")
        message = ForwardMsg()
        message.ParseFromString(received.data)
        return message


async def visits(
    chosen: argparse.Namespace, address: str, seat: int, files: Files, seen: Seen, end: float
) -> None:
    """Everyone who sits in one seat, one after the other."""
    rng = random.Random(f"{chosen.seed} {seat}")
    while time.monotonic() < end:
        try:
            async with contextlib.AsyncExitStack() as stack:
                jar = aiohttp.CookieJar(unsafe=True)
                http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
                visitor = Visitor(http, address)
                begun = time.monotonic()
                await asyncio.wait_for(visitor.open(stack), PATIENCE)
                seen.waited("open", time.monotonic() - begun)
                for _ in range(rng.randint(1, 2 * chosen.stay)):
                    if time.monotonic() > end:
                        break
                    await _one(visitor, files, rng, seen)
                    await asyncio.sleep(rng.uniform(0, 2 * chosen.pause))
        except Exception as error:
            seen.faults.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(1)


async def _one(visitor: Visitor, files: Files, rng: random.Random, seen: Seen) -> None:
    kind, name, data, wanted = files.drawn(rng)
    begun = time.monotonic()
    said = await asyncio.wait_for(visitor.send(name, data), PATIENCE)
    seen.waited(kind if said == wanted else said, time.monotonic() - begun)
    seen.answers[said] += 1
    if said not in (wanted, "busy"):
        seen.faults.append(f"{name}: {said}, not {wanted}")


class Files:
    """What is sent: pictures mostly."""

    def __init__(self, folder: Path | None, most: int) -> None:
        self.pictures = _pictures(folder, most)
        first = images.decode(self.pictures[0][1])[:, :, ::-1]
        photo = cv2.imencode(".jpg", cv2.resize(first, (4000, 3000), interpolation=cv2.INTER_CUBIC))[1]
        self.odd = [
            ("12 megapixels", "photo.jpg", photo.tobytes(), "faces"),
            (
                "too large",
                "large.jpg",
                b"\xff\xd8\xff" + bytes(PageSettings().max_megabytes * MEGABYTE),
                "refused",
            ),
            ("no picture", "letter.txt", b"Dear page, " * 1000, "no picture"),
        ]

    def drawn(self, rng: random.Random) -> tuple[str, str, bytes, str]:
        """Kind, name, bytes, and what the page should say."""
        if rng.random() < 0.08:
            return rng.choice(self.odd)
        name, data = rng.choice(self.pictures)
        return "picture", name, data, "faces"


def _pictures(folder: Path | None, most: int) -> list[tuple[str, bytes]]:
    if folder is not None:
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".png"))
        return [(path.name, path.read_bytes()) for path in paths[:: max(1, len(paths) // most)][:most]]
    from flmd.sources.sample import ibug300w

    plans = ibug300w.plan(most, 0)[:most]
    return [(f"{n}.jpg", ibug300w.draw(n, plan)[0].jpeg) for n, plan in enumerate(plans)]


async def watched(process: int, seen: Seen, end: float) -> None:
    """Note the server's memory every two seconds."""
    begun = time.monotonic()
    while time.monotonic() < end:
        seen.memory.append((time.monotonic() - begun, resident(process)))
        await asyncio.sleep(2)


def resident(process: int) -> float:
    """MiB that a process holds."""
    text = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS:"))


@contextlib.contextmanager
def served(model: Path, cores: int) -> Iterator[tuple[str, int]]:
    """``flmd app`` on so many cores: its address and its process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [
            sys.executable,
            "-c",
            "from flmd.cli.flmd import main; main()",
            "app",
            "--model",
            str(model),
        ]
        chosen = sorted(os.sched_getaffinity(0))[:cores]
        with log.open("wb") as stream:
            server = subprocess.Popen(
                [*command, "--port", str(port)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                cwd=folder,
                stdout=stream,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: os.sched_setaffinity(0, chosen),
            )
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}", server.pid
        finally:
            with contextlib.suppress(OSError):
                print(f"the server took {usage(server.pid)[1]:.1f} s of the processor")
            server.terminate()
            server.wait(30)
            said = log.read_text(errors="replace").strip()
            print(f"the server's log, {len(said.splitlines())} lines:\n{said[-3000:]}")


async def load(chosen: argparse.Namespace, address: str, process: int) -> Seen:
    """All visitors, for so many minutes."""
    seen, files = Seen(), Files(chosen.pictures, 24)
    end = time.monotonic() + 60 * chosen.minutes
    watch = asyncio.create_task(watched(process, seen, end))
    await asyncio.gather(
        *(visits(chosen, address, seat, files, seen, end) for seat in range(chosen.visitors))
    )
    await watch
    return seen


def told(seen: Seen, longest: float) -> bool:
    """Print what was seen; whether all of it is good."""
    print("| wait | times | median s | 95 % s | longest s |")
    print("|---|---:|---:|---:|---:|")
    for kind, waits in sorted(seen.waits.items()):
        ordered = sorted(waits)
        high = ordered[int(0.95 * (len(ordered) - 1))]
        print(f"| {kind} | {len(waits)} | {statistics.median(waits):.2f} | {high:.2f} | {ordered[-1]:.2f} |")
    print(", ".join(f"{answer}: {count}" for answer, count in seen.answers.most_common()))
    step = max(1, len(seen.memory) // 12)
    print("MiB by second: " + ", ".join(f"{at:.0f}: {mib:.0f}" for at, mib in seen.memory[::step]))
    # The first sixth fills the places of visitors that have gone, which are kept for two minutes.
    settled = [mib for _, mib in seen.memory[len(seen.memory) // 6 :]]
    first, second = settled[: len(settled) // 2], settled[len(settled) // 2 :]
    grown = bool(first) and max(second) > GROWTH * max(first)
    if first:
        print(f"most memory: {max(first):.0f} MiB in the first half, {max(second):.0f} in the second")
    for fault, count in Counter(seen.faults).most_common(10):
        print(f"fault, {count} times: {fault}")
    slow = max(max(waits) for waits in seen.waits.values()) if seen.waits else longest + 1
    print(f"longest wait {slow:.2f} s, {len(seen.faults)} faults")
    return slow <= longest and not seen.faults and not grown


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web_load")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, help="a folder; default: 24 of the built-in sample")
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pause", type=float, default=10.0, help="seconds between two pictures, on average")
    parser.add_argument("--stay", type=int, default=4, help="pictures of a visitor, on average")
    parser.add_argument("--longest", type=float, default=10.0, help="seconds that anyone may wait")
    parser.add_argument("--cores", type=int, default=2, help="of the server")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with served(chosen.model.resolve(), chosen.cores) as (address, process):
        seen = asyncio.run(load(chosen, address, process))
    return 0 if told(seen, chosen.longest) else 1


if __name__ == "__main__":
    sys.exit(main())
