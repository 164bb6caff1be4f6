"""Real servers on 127.0.0.1: OpenSSH's sshd, a WebDAV server, an S3 server. And a folder."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.experiments.remotes.http_servers import PASSWORD, USER

HTTP_SERVERS = "tests.experiments.remotes.http_servers"
ROOT = Path(__file__).resolve().parents[3]
BUCKET = "faces"


class Contents(Protocol):
    """The files of a remote, seen from behind the server."""

    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, data: bytes) -> None: ...


@dataclass(frozen=True)
class Folder:
    """Files on the disk of the server, which is ours."""

    root: Path

    def names(self) -> list[str]:
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """As a bad disk would: mode and all else stay, or DVC would look at the file more closely."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        mode = path.stat().st_mode
        path.chmod(0o644)
        path.write_bytes(data)
        path.chmod(mode)


@dataclass(frozen=True)
class Bucket:
    """Objects of an S3 bucket below a prefix."""

    client: Any
    prefix: str

    def names(self) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=self.prefix + "/").get("Contents", [])
        return sorted(entry["Key"].removeprefix(self.prefix + "/") for entry in listed)

    def read(self, name: str) -> bytes:
        found = self.client.get_object(Bucket=BUCKET, Key=f"{self.prefix}/{name}")
        return bytes(found["Body"].read())

    def write(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{name}", Body=data)


@dataclass(frozen=True)
class Remote:
    """What a user knows of a remote.

    ``options`` are for `dvc remote modify`, ``secrets`` for `dvc remote modify --local`, ``environment``
    for the shell.
    """

    kind: str
    url: str
    contents: Contents
    options: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


class Server:
    """A running server; ``remote(name, port)`` is a remote of its own there, maybe by another port."""

    kind = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()

    def remote(self, name: str, port: int | None = None) -> Remote:
        raise NotImplementedError

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Every upload fails with 507 meanwhile."""
        flag = self.folder / "full"
        flag.touch()
        try:
            yield
        finally:
            flag.unlink()


class WebdavServer(Server):
    kind = "webdav"

    def remote(self, name: str, port: int | None = None) -> Remote:
        root = self.folder / "files" / name
        root.mkdir(parents=True, exist_ok=True)
        url = f"webdav://127.0.0.1:{port or self.port}/{name}"
        return Remote(self.kind, url, Folder(root), {"user": USER}, {"password": PASSWORD})


class SshServer(Server):
    kind = "ssh"

    def remote(self, name: str, port: int | None = None, root: Path | None = None) -> Remote:
        root = root or self.folder / "files" / name
        root.mkdir(parents=True, exist_ok=True)
        url = f"ssh://{getpass.getuser()}@127.0.0.1:{port or self.port}{root}"
        return Remote(self.kind, url, Folder(root), secrets={"keyfile": str(self.folder / "key")})


class S3Server(Server):
    kind = "s3"
    keys: tuple[str, str] = ("", "")

    def client(self) -> Any:
        import boto3

        key, secret = self.keys
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            region_name="us-east-1",
        )

    def remote(self, name: str, port: int | None = None) -> Remote:
        key, secret = self.keys
        return Remote(
            self.kind,
            f"s3://{BUCKET}/{name}",
            Bucket(self.client(), name),
            {"endpointurl": f"http://127.0.0.1:{port or self.port}", "region": "us-east-1"},
            environment={"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret},
        )


class FolderServer(Server):
    """No server at all: a folder, such as a mounted share."""

    kind = "folder"

    def remote(self, name: str, port: int | None = None) -> Remote:
        root = self.folder / name
        root.mkdir(parents=True, exist_ok=True)
        return Remote(self.kind, str(root), Folder(root))


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.contextmanager
def running(
    command: list[str], port: int, log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, from when it takes connections until it is told to go."""
    with log.open("wb") as out:
        child = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert child.poll() is None, f"{command} ended:\n{log.read_text()}"
            assert time.monotonic() < end, f"{command} never listened:\n{log.read_text()}"
            time.sleep(0.05)
        yield
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def sshd_path() -> str | None:
    """OpenSSH's server; it wants to be started by its full path."""
    return shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """OpenSSH's sshd for the current user, with a host key and a user key made for it."""
    server, binary = SshServer(folder), sshd_path()
    assert binary, "sshd is not installed (Debian: openssh-server)"
    for name in ("host_key", "key"):
        path = str(folder / name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    (folder / "key.pub").rename(folder / "authorized_keys")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # a root sshd keeps its unprivileged half there
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {server.port}\nHostKey {folder}/host_key\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        "Subsystem sftp internal-sftp\n"
    )
    with running([binary, "-D", "-e", "-f", str(config)], server.port, folder / "log"):
        yield server


@contextlib.contextmanager
def webdav_server(folder: Path) -> Iterator[WebdavServer]:
    """WsgiDAV behind cheroot, for one user with a password."""
    server = WebdavServer(folder)
    command = [
        sys.executable,
        "-m",
        HTTP_SERVERS,
        "webdav",
        str(server.port),
        str(folder),
    ]
    with running(command, server.port, folder / "log"):
        yield server


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """moto's S3 with one bucket, which asks for the keys of a user made for it."""
    import boto3

    server = S3Server(folder)
    command = [
        sys.executable,
        "-m",
        HTTP_SERVERS,
        "s3",
        str(server.port),
        str(folder),
    ]
    with running(command, server.port, folder / "log"):
        endpoint = f"http://127.0.0.1:{server.port}"
        iam = boto3.client(
            "iam",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="setup",
            aws_secret_access_key="setup",
        )
        iam.create_user(UserName=USER)
        policy = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
        iam.put_user_policy(
            UserName=USER,
            PolicyName="s3",
            PolicyDocument=json.dumps({"Version": "2012-10-17", **policy}),
        )
        made = iam.create_access_key(UserName=USER)["AccessKey"]
        server.keys = made["AccessKeyId"], made["SecretAccessKey"]
        server.client().create_bucket(Bucket=BUCKET)
        # From here on every call must be signed with these keys.
        asking = urllib.request.Request(
            f"{endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(asking).close()
        yield server
