"""Servers on this machine that answer as Label Studio 1.23.2 did and as CVAT is documented to.

They keep what they get.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, Any]
PAGE = 2  # items on a page, whatever is asked for: as servers have a largest size


@dataclass
class Request:
    """One request: ``query`` and ``files`` (field, name, bytes) as sent, ``body`` what JSON there was."""

    method: str
    path: str
    query: dict[str, list[str]]
    authorization: str
    body: Any = None
    files: list[tuple[str, str, bytes]] = field(default_factory=list)


@dataclass
class Fake:
    """A server that answers with what ``handle`` returns: a status and JSON, or bytes to send as they are."""

    handle: Callable[[Request], Answer | bytes]
    url: str = ""
    requests: list[Request] = field(default_factory=list)

    def sent(self, method: str, pattern: str) -> list[Request]:
        return [r for r in self.requests if r.method == method and re.fullmatch(pattern, r.path)]


@contextmanager
def serving(handle: Callable[[Request], Answer | bytes]) -> Iterator[Fake]:
    """The server, until the block ends."""
    fake = Fake(handle)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            parts = urlsplit(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(
                self.command, parts.path, parse_qs(parts.query), self.headers.get("Authorization", "")
            )
            kind = self.headers.get("Content-Type", "")
            if kind.startswith("multipart/"):
                message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
                for part in message.get_payload():
                    name = part.get_param("name", header="content-disposition")
                    if part.get_filename() is not None:
                        request.files.append((name, part.get_filename(), part.get_payload(decode=True)))
            elif content:
                request.body = json.loads(content)
            fake.requests.append(request)
            answer = fake.handle(request)
            if isinstance(answer, bytes):
                self.wfile.write(answer)
                self.close_connection = True
                return
            status, body = answer
            text = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    for method in ("GET", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def page_of(items: list[Any], request: Request) -> list[Any]:
    """Two items of a list."""
    first = (int(request.query["page"][0]) - 1) * PAGE
    return items[first : first + PAGE]


class LabelStudioServer:
    """Project 1 of a Label Studio, whose token is "secret"."""

    def __init__(self) -> None:
        self.config = "<View></View>"
        self.uploads: list[tuple[str, bytes]] = []
        self.tasks: list[dict[str, Any]] = []

    def __call__(self, request: Request) -> Answer:
        if request.authorization != "Token secret":
            return 401, {"detail": "Invalid token."}
        key = f"{request.method} {request.path}"
        if key == "GET /api/projects/1/":
            return 200, {"id": 1, "label_config": self.config}
        if key == "PATCH /api/projects/1/":
            self.config = request.body["label_config"]
            return 200, {"id": 1}
        if key == "GET /api/tasks":
            rows = [{"id": t["id"], "data": t["data"]} for t in page_of(self.tasks, request)]
            return 200, {"tasks": rows, "total": len(self.tasks)}
        if key == "POST /api/projects/1/import":
            return self.imported(request)
        if found := re.fullmatch(r"GET /api/import/file-upload/(\d+)", key):
            number = int(found[1])
            return 200, {"id": number, "file": f"upload/1/{number:08x}-{self.uploads[number - 1][0]}"}
        if key == "GET /api/projects/1/export":
            wanted = {int(number) for number in request.query["ids[]"]}
            return 200, [t for t in self.tasks if t["id"] in wanted]
        return 404, {"detail": "Not found."}

    def imported(self, request: Request) -> Answer:
        if request.files:
            assert request.query == {"commit_to_project": ["false"]}
            ((_, name, content),) = request.files
            ending = Path(name).suffix
            if ending.lower() not in (".bmp", ".gif", ".jpg", ".jpeg", ".png", ".webp"):
                said = {"non_field_errors": [f"{ending} extension is not supported"]}
                return 400, {"status_code": 400, "detail": "Validation error", "validation_errors": said}
            self.uploads.append((name, content))
            return 201, {"task_count": 1, "file_upload_ids": [len(self.uploads)]}
        for task in request.body:
            self.tasks.append({"id": len(self.tasks) + 1, "annotations": [], **task})
        return 201, {"task_count": len(request.body), "file_upload_ids": []}

    def accept(self, number: int) -> list[dict[str, Any]]:
        """Submit a task's prediction as it is; returns the regions, which may be changed."""
        task = self.tasks[number - 1]
        result = json.loads(json.dumps(task["predictions"][0]["result"]))
        task["annotations"] = []
        self.annotate(number, result)
        return result

    def annotate(self, number: int, result: list[dict[str, Any]], **said: bool) -> None:
        """A further annotation of a task, with the keys that 1.23.2 gives it in an export."""
        annotations = self.tasks[number - 1]["annotations"]
        annotations.append(
            {
                "id": 10 * number + len(annotations),
                "completed_by": 1,
                "result": result,
                "was_cancelled": False,
                "ground_truth": False,
                **said,
            }
        )


class CvatServer:
    """Project 7 of a CVAT, whose token is "secret" and must come in a header of this scheme."""

    def __init__(
        self, scheme: str = "Token", sizes: tuple[int, int] = (120, 100), organization: int | None = None
    ) -> None:
        self.scheme, self.sizes, self.organization = scheme, sizes, organization
        self.labels: list[dict[str, Any]] = []
        self.tasks: dict[int, dict[str, Any]] = {}
        self.waits = self.numbers = 0
        self.fails = False

    def __call__(self, request: Request) -> Answer:
        if request.authorization != f"{self.scheme} secret":
            return 401, {"detail": "Invalid token."}
        key = f"{request.method} {request.path}"
        if key == "GET /api/projects/7":
            return 200, {"id": 7, "name": "faces", "organization": self.organization}
        if key == "PATCH /api/projects/7":
            for label in request.body["labels"]:
                for each in (label, *label.get("sublabels", ())):
                    self.numbers += 1
                    each["id"] = self.numbers
                self.labels.append(label)
            return 200, {"id": 7}
        if key == "GET /api/labels":
            return 200, {"count": len(self.labels), "results": page_of(self.labels, request)}
        if key == "GET /api/tasks":
            rows = [{"id": n, "size": len(t["frames"])} for n, t in self.tasks.items()]
            return 200, {"count": len(rows), "results": page_of(rows, request)}
        if key == "POST /api/tasks":
            assert request.body["project_id"] == 7
            if request.query.get("org_id") != ([str(self.organization)] if self.organization else None):
                return 400, ["The task and its project should be in the same organization."]
            number = max(self.tasks, default=40) + 1
            self.tasks[number] = {"frames": [], "shapes": [], "content": {}}
            return 201, {"id": number}
        if found := re.fullmatch(r"GET /api/requests/action=create&target=task&id=(\d+)", key):
            self.waits += 1
            return 200, {"status": "failed" if self.fails else "started" if self.waits % 2 else "finished"}
        found = re.fullmatch(r"/api/tasks/(\d+)(.*)", request.path)
        if found is None or int(found[1]) not in self.tasks:
            return 404, {"detail": "Not found."}
        return self.task(int(found[1]), found[2], request)

    def task(self, number: int, rest: str, request: Request) -> Answer:
        task = self.tasks[number]
        if request.method == "DELETE":
            del self.tasks[number]
            return 204, None
        if (request.method, rest) == ("POST", "/data"):
            width, height = self.sizes
            for _, name, content in request.files:
                task["frames"].append({"name": name, "width": width, "height": height})
                task["content"][name] = content
            task["frames"].reverse()  # CVAT sorts as it likes
            return 202, {"rq_id": f"action=create&target=task&id={number}"}
        if (request.method, rest) == ("GET", "/data/meta"):
            return 200, {"size": len(task["frames"]), "frames": task["frames"]}
        if (request.method, rest) == ("PATCH", "/annotations"):
            assert request.query == {"action": ["create"]}
            task["shapes"] += request.body["shapes"]
            return 200, request.body
        if (request.method, rest) == ("GET", "/annotations"):
            return 200, {"version": 1, "tags": [], "shapes": task["shapes"], "tracks": []}
        return 404, {"detail": "Not found."}
