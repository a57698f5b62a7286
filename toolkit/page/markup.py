"""The one way of making a page: every text is escaped, and nothing but its own style is loaded."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Iterable
from html import escape
from importlib import resources
from string import Template

from toolkit.connection import redact

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-$hash'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")
# Control characters, marks that turn the direction of writing, and other invisible ones: a
# name from the database must not look like another one.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class Html(str):
    """Markup. Every other string is escaped before it becomes part of the page."""

    __slots__ = ()


def page(title: str, body: Iterable[Html], *, style: str = "") -> str:
    """One self-contained HTML file.

    Args:
        title: of the window.
        body: the parts, in order.
        style: rules of this page's own, after those that all pages share.
    """
    shared = resources.files("toolkit.page").joinpath("page.css").read_text("utf-8")
    # The page allows this one style sheet and nothing else, should an escape ever be forgotten.
    digest = hashlib.sha256((shared + style).encode()).digest()
    return _PAGE.substitute(
        hash=base64.b64encode(digest).decode("ascii"),
        title=text(title),
        style=shared + style,
        body="\n".join(body),
    )


def text(value: str) -> Html:
    """What anybody wrote, as text: escaped, without secrets, what cannot be seen spelled out."""
    shown = (
        f"\\u{ord(character):04x}"
        if character != "\n" and unicodedata.category(character) in _INVISIBLE
        else character
        for character in redact(value)
    )
    return Html(escape("".join(shown)))


def tag(name: str, *content: str, **attributes: str) -> Html:
    """An element; `class_` is the attribute class, `aria_label` is aria-label."""
    inner = "".join(part if isinstance(part, Html) else text(part) for part in content)
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value
    )
    return Html(f"<{name}{told}>{inner}</{name}>")


def many(parts: Iterable[Html]) -> Html:
    """One after the other."""
    return Html("\n".join(parts))


def section(title: str, *content: str) -> Html:
    """A part of the page under a heading of its own."""
    name = title.lower().replace(" ", "-")
    return tag(
        "section", tag("h2", title, id=name), *content, aria_labelledby=name, class_=f"part-{name}"
    )


def table(caption: str, headings: Iterable[str], *bodies: str, class_: str = "") -> Html:
    """A table that scrolls by itself where the window is too narrow."""
    head = tag("tr", *(tag("th", heading, scope="col") for heading in headings))
    table = tag("table", tag("caption", caption), tag("thead", head), *bodies, class_=class_)
    return tag("div", table, class_="scroll", role="region", aria_label=caption, tabindex="0")


def row(first: str, *cells: str, class_: str = "") -> Html:
    """A row of a table, headed by its first cell."""
    return tag("tr", tag("th", first, scope="row"), *(tag("td", c) for c in cells), class_=class_)


def facts_of(pairs: Iterable[tuple[str, str]], class_: str) -> Html:
    """Names with what they stand for; those without a value are left out."""
    items = many(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs if value)
    return tag("dl", items, class_=class_)
