"""Pages read as a browser reads them: what they show, and what in them could act."""

from __future__ import annotations

from html.parser import HTMLParser

POISON = (
    "</script><script>alert(1)</script>",
    "</style><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "' onmouseover='alert(4)",
    '" onload="alert(5)',
    "{{ 6 * 7 }}{% for a in b %}",
    "<!-- ]]> &lt;b&gt; &quot;",
    "javascript:alert(8)",
)


WITHIN = ("data:image/", "data:,", "#")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.acts: list[str] = []
        self.texts: list[str] = []
        self.values: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "base", "form", "foreignobject"):
            self.acts.append(f"<{tag}>")
        for name, value in attrs:
            text = value or ""
            self.values.append(text)
            is_address = name in ("src", "href", "xlink:href")
            if name.startswith("on") or (is_address and not text.startswith(WITHIN)):
                self.acts.append(f'<{tag} {name}="{text[:60]}">')

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def what_acts(page: str) -> list[str]:
    """Elements that run or load something, event handlers, and addresses that lead out of the page."""
    return _read(page).acts


def shown(page: str) -> str:
    """All text of a page, also that of attributes such as ``alt``."""
    reader = _read(page)
    return "\n".join([*reader.texts, *reader.values])


def _read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader
