"""Jinja2 templates with every text escaped, and pictures that travel within the page."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flmd.errors import masked

SHARED = Path(__file__).parent  # base.html, style.css


def render(template: Path, **values: object) -> str:
    """Fill a template in; it may extend ``base.html``, which has the style sheet of all pages.

    Parameters
    ----------
    template : an HTML file of the package.
    values : what the template names. Text is escaped, in attributes too, and passwords in addresses are
        masked; ``markupsafe.Markup`` stays as it is.

    Raises
    ------
    jinja2.UndefinedError : the template names what is not there.
    """
    return _environment(template.parent).get_template(template.name).render(values)


def data_url(kind: str, data: bytes) -> str:
    """A file as an address that holds it: ``data_url("image/png", ...)``."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@cache
def _environment(folder: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_without_passwords,
    )


def _without_passwords(value: object) -> object:
    return masked(value) if type(value) is str else value  # Markup is a drawing of ours
