"""Guidelines in Markdown as the HTML that Label Studio shows to annotators."""

from __future__ import annotations

import html
import re


def instructions_html(markdown: str) -> str:
    """Guidelines as simple HTML: headings and emphasis, list items, line breaks; everything else is escaped.

    Label Studio's styles take the bullets off lists, so these are written out.
    """
    return "<br>".join(_line(line) for line in markdown.strip().splitlines())


def _line(line: str) -> str:
    text = html.escape(line.strip())
    heading = re.fullmatch(r"#+\s+(.*)", text)
    if heading:
        return f"<b>{heading.group(1)}</b>"
    text = re.sub(r"^[-*]\s+", "• ", text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    return re.sub(r"(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])", r"<i>\1</i>", text)
