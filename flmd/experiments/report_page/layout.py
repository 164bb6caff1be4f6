"""The frame of the page: its style, tables, tiles. Every text that comes from outside is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b1f24;--dim:#66707c;--line:#e2e5ea;
  --bad:#b4232c;--ok:#217a44;--mark:#eef1f5;--now:#1565c0;--base:#d9660a}
@media(prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1d2127;--ink:#e6e9ed;--dim:#98a2ae;
  --line:#2e343c;--bad:#ff8a8a;--ok:#74d39a;--mark:#272d35;--now:#6cb2ff;--base:#ffa25c}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1240px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;margin:0 0 4px}
h2{font-size:19px;margin:44px 0 2px}
h3{font-size:15px;margin:0 0 6px;overflow-wrap:anywhere}
p{margin:2px 0 12px;color:var(--dim);max-width:75ch;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:10px;margin-top:20px}
.tiles div,.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px;
  min-width:0}
.tiles b{display:block;font-size:24px;line-height:1.2}
.tiles span{color:var(--dim);font-size:13px;overflow-wrap:anywhere}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(380px,100%),1fr));gap:14px}
.wide{grid-template-columns:repeat(auto-fit,minmax(min(480px,100%),1fr))}
.card{margin-bottom:14px}.cards .card{margin-bottom:0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:4px 14px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}
td.l{overflow-wrap:anywhere;min-width:15em}
th{color:var(--dim);font-weight:600;white-space:nowrap}
tr:last-child td{border-bottom:0}
td.n,th.n{text-align:right;white-space:nowrap}
.better,.good{color:var(--ok)}.worse,.bad{color:var(--bad)}
details{margin-top:10px}summary{cursor:pointer;color:var(--dim)}
svg{display:block;width:100%;height:auto}
svg text{font-family:inherit!important}
figure{margin:0;min-width:0}
img{display:block;max-width:100%;height:auto;border-radius:6px;background:#fff}
figcaption{font-size:13px;color:var(--dim);margin-bottom:6px}
code{font:12.5px ui-monospace,monospace;overflow-wrap:anywhere}
ul{margin:4px 0 0;padding-left:20px}
footer{margin-top:48px;color:var(--dim);font-size:13px}
"""


def page(title: str, about: str, body: Iterable[str], foot: str) -> str:
    """The whole document; ``title``, ``about`` and ``foot`` are text, the body is HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        # An icon of its own, empty: browsers ask the server for one otherwise.
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head><body><main>'
        f"<h1>{escape(title)}</h1><p>{escape(about)}</p>{''.join(body)}"
        f"<footer>{escape(foot)}</footer></main></body></html>\n"
    )


def section(title: str, about: str, *body: str) -> str:
    """A titled part of the page; title and text are plain, the body is HTML."""
    return f"<h2>{escape(title)}</h2><p>{escape(about)}</p>{''.join(body)}"


def card(*body: str, title: str = "") -> str:
    """A box around some HTML."""
    head = f"<h3>{escape(title)}</h3>" if title else ""
    return f'<div class="card">{head}{"".join(body)}</div>'


def cards(items: Iterable[str], *, wide: bool = False) -> str:
    """Boxes side by side, as many as the window is wide."""
    return f'<div class="cards{" wide" if wide else ""}">{"".join(items)}</div>'


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    long: Sequence[int] = (),
) -> str:
    """A table of plain texts. A cell that starts with "better" or "worse" gets its colour.

    Parameters
    ----------
    numbers : columns that stand to the right. long : columns that break anywhere; others make the table
        wider than its box, which then scrolls.
    """

    def row(cells: Sequence[str], tag: str) -> str:
        made = []
        for index, cell in enumerate(cells):
            word = cell.partition(" ")[0]
            kinds = [word] if tag == "td" and word in ("better", "worse") else []
            kinds += ["n"] if index in numbers else ["l"] if index in long else []
            named = f' class="{" ".join(kinds)}"' if kinds else ""
            made.append(f"<{tag}{named}>{escape(cell)}</{tag}>")
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f'<div class="scroll"><table>{row(header, "th")}{body}</table></div>'


def folded(summary: str, body: str) -> str:
    """HTML that is shown on a click."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def listed(items: Iterable[str], *, bad: bool = False) -> str:
    """Plain texts as a list."""
    made = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul{' class=bad' if bad else ''}>{made}</ul>"


def picture(png: bytes, alt: str, caption: str) -> str:
    """A PNG within the page."""
    data = base64.b64encode(png).decode()
    return (
        f"<figure><figcaption>{escape(caption)}</figcaption>"
        f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}"></figure>'
    )
