"""Downloading from object stores (``s3://`` and any other scheme that fsspec knows), resumable."""

from __future__ import annotations

import fsspec
from tqdm import tqdm

from flmd.errors import SourceError, one_line
from flmd.sources.fetch.partial import PartFile, Transient, Version, persist

CHUNK = 1 << 20
FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def download(url: str, part: PartFile, *, address: str, max_bytes: int, retries: int, backoff: float) -> None:
    """Complete ``part`` with the object at ``url``. Raises SourceError.

    Credentials come from where fsspec's back end looks for them (for s3: environment, ~/.aws). An object
    that changed since the download began is fetched from its first byte again.
    """
    scheme = url.partition("://")[0]
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = "flmd[s3]" if scheme in ("s3", "s3a") else f"what fsspec needs for {scheme}"
        raise SourceError(
            f"{scheme}:// needs a package that is not installed ({one_line(error)})",
            where=address,
            hint=f"pip install '{package}'" if package.startswith("flmd") else f"install {package}",
        ) from error
    except ValueError as error:
        raise SourceError(
            f"{scheme}:// is no scheme that can be read",
            where=address,
            expected="http, https, s3, file or another that fsspec knows",
        ) from error

    def attempt() -> None:
        try:
            _attempt(system, path, part, address, max_bytes)
        except (SourceError, Transient):
            raise
        except FINAL as error:
            raise SourceError(f"it cannot be read: {one_line(error)}", where=address) from error
        except OSError as error:
            if error.filename == str(part.path):  # this disk, not the store
                raise
            raise Transient(f"reading failed ({one_line(error)})") from error
        except Exception as error:  # back ends raise their own kinds, such as botocore's
            raise SourceError(
                f"{type(error).__name__}: {one_line(error)}", where=address, hint="check your credentials"
            ) from error

    persist(attempt, part, address=address, retries=retries, backoff=backoff)


def _attempt(
    system: fsspec.AbstractFileSystem, path: str, part: PartFile, address: str, max_bytes: int
) -> None:
    size = system.size(path)
    version = Version(address, str(system.ukey(path)), size)
    if size is not None and size > max_bytes:
        raise SourceError(f"the file is longer than {max_bytes} bytes", where=address, expected="a data set")
    if part.version != version:
        part.restart(version)
    name = part.path.stem
    bar = tqdm(
        total=size, initial=part.size, desc=f"fetching {name}", unit="B", unit_scale=True, disable=None
    )
    with system.open(path, "rb") as stream, bar:
        if part.size:
            stream.seek(part.size)
        while piece := stream.read(CHUNK):
            part.append(piece)
            bar.update(len(piece))
            if part.size > max_bytes:
                raise SourceError(f"the file is longer than {max_bytes} bytes", where=address)
    if size is not None and part.size != size:
        raise Transient(f"the transfer ended after {part.size} of {size} bytes")
