"""What the page is started with; handed to Streamlit's script as one argument."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class PageSettings:
    """The settings of a page.

    Attributes
    ----------
    models : files to offer first, besides those that are found.
    yunet : model file of the YuNet detector; None: that detector is not offered.
    allow_private : addresses of pictures may be private ones; for tests and closed networks.
    max_megabytes : of a picture's file. max_megapixels : of a picture. fetch_seconds : for an address.
    """

    models: tuple[str, ...] = ()
    yunet: str | None = None
    allow_private: bool = False
    max_megabytes: int = 20
    max_megapixels: int = 50
    fetch_seconds: float = 10.0

    def argument(self) -> str:
        """All of it, as one argument of the command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_arguments(cls, arguments: list[str]) -> Self:
        """What :meth:`argument` made; the defaults where there is none."""
        values = json.loads(arguments[0]) if arguments else {}
        return cls(**{**values, "models": tuple(values.get("models", ()))})
