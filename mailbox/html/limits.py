"""Rewrites HTML that would cost the parser too much into flat HTML, before it is parsed. Pure.

An HTML5 parser walks its stack of open elements at every tag and reopens unclosed formatting elements in every block,
so deep or unclosed markup costs time or memory by the square of its length. Mail like this may be an attack.
"""

from __future__ import annotations

import html
import re
from collections import Counter

MAX_HTML = 2_000_000  # characters; the rest is cut off
MAX_TAGS = 25_000  # likewise; so many tags take a second
# Likewise "&" signs: the parser's time grows with the square of the number of those that begin no character reference.
MAX_REFERENCES = 50_000
MAX_DEPTH = 150
# Up to this many tags the quadratic cost is small; longer markup is rewritten.
_HARMLESS_TAGS = 1000
# Possessive quantifiers: a tag that does not close fails at once, without backtracking.
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,30})((?:[^<>\"']++|\"[^\"]*+\"|'[^']*+'|(?!))*+)>")
_VOID = frozenset({"br", "hr", "img", "wbr", "area", "col"})
# The parser closes these itself when the next one opens, so old mails do not close them.
_SELF_CLOSING = frozenset({"p", "li", "td", "th", "tr", "dt", "dd", "tbody", "thead", "tfoot", "colgroup", "caption"})


def cut(markup: str) -> str:
    """The markup cut at MAX_HTML, MAX_TAGS and MAX_REFERENCES, so that sanitizing it takes a second at most."""
    shown = markup[:MAX_HTML]
    for sign, most in (("<", MAX_TAGS), ("&", MAX_REFERENCES)):
        if shown.count(sign) > most:
            shown = sign.join(shown.split(sign, most)[:-1])
    return shown


def bounded(markup: str, known: frozenset[str], unshown: frozenset[str]) -> str:
    """`markup` unchanged when it has few tags; else rewritten with `known` tags only, nested properly, to MAX_DEPTH.

    `unshown` elements are removed with their content.
    """
    if markup.count("<") <= _HARMLESS_TAGS:
        return markup
    return _rewritten(markup, known, unshown)


def _rewritten(markup: str, known: frozenset[str], unshown: frozenset[str]) -> str:
    lowered = markup.lower()
    written: list[str] = []
    stack: list[str] = []
    on_stack: Counter[str] = Counter()
    position = 0
    while True:
        opening = markup.find("<", position)
        if opening < 0:
            written.append(_text(markup[position:]))
            break
        written.append(_text(markup[position:opening]))
        position, tag = _next_tag(markup, lowered, opening, unshown)
        if tag is None:
            if position == opening:  # a bare "<"
                written.append("&lt;")
                position += 1
            continue
        closes, name, attributes = tag
        if name not in known:
            continue
        if name in _VOID or name in _SELF_CLOSING:
            written.append(f"</{name}>" if closes else f"<{name}{attributes}>")
        elif closes:
            if on_stack[name]:
                while True:
                    top = stack.pop()
                    on_stack[top] -= 1
                    written.append(f"</{top}>")
                    if top == name:
                        break
        elif len(stack) < MAX_DEPTH:
            stack.append(name)
            on_stack[name] += 1
            written.append(f"<{name}{attributes}>")
    written.extend(f"</{name}>" for name in reversed(stack))
    return "".join(written)


def _next_tag(
    markup: str, lowered: str, opening: int, unshown: frozenset[str]
) -> tuple[int, tuple[bool, str, str] | None]:
    """Read the markup at `opening` (a "<"): the position to go on at, and the tag as (closes, name, attributes).

    The tag is None for comments, declarations, `unshown` elements and a bare "<". A bare "<" leaves the position as is.
    """
    if markup.startswith("<!--", opening):
        return _beyond(markup, "-->", opening + 2), None
    if markup.startswith(("<!", "<?"), opening):
        return _beyond(markup, ">", opening), None
    tag = _TAG.match(markup, opening)
    if tag is None:
        return opening, None
    name = tag[2].lower()
    if name in unshown:
        if tag[1]:
            return tag.end(), None
        closing = lowered.find(f"</{name}", tag.end())
        return (_beyond(markup, ">", closing) if closing >= 0 else len(markup)), None
    return tag.end(), (bool(tag[1]), name, tag[3])


def _beyond(markup: str, mark: str, start: int) -> int:
    found = markup.find(mark, start)
    return found + len(mark) if found >= 0 else len(markup)


def _text(text: str) -> str:
    return text.replace("<", "&lt;").replace(">", "&gt;") if text else text


def escaped(text: str) -> str:
    """The text escaped for HTML, for an element or a quoted attribute."""
    return html.escape(text, quote=True)
