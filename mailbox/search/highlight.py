"""Marks the query's words in the lines of a result, and selects the part of the body around them. Pure."""

from __future__ import annotations

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from mailbox.mime.normal_form import nfc
from mailbox.search.query import SearchQuery, parse
from mailbox.search.tokenizer import Phrase, WordSpan, word_spans

EXCERPT = 160  # characters
_BEFORE = 50  # characters of the excerpt before the first word found


def highlight(text: str, query: SearchQuery | str, field: str = "") -> SafeString:
    """The text, escaped, with the query's words in <mark>. field: which field the text is ("from", "subject", ...)."""
    normal = nfc(text)
    pieces: list[str] = []
    end = 0
    for start, stop in _stretches(normal, query, field):
        pieces += [escape(normal[end:start]), "<mark>", escape(normal[start:stop]), "</mark>"]
        end = stop
    pieces.append(escape(normal[end:]))
    return mark_safe("".join(pieces))  # noqa: S308 (every piece of the mail is escaped above)


def excerpt(text: str, query: SearchQuery | str, otherwise: str = "") -> SafeString:
    """About EXCERPT characters of a body around the first word found, highlighted; `otherwise` if none is found."""
    normal = " ".join(nfc(text).split())
    found = _stretches(normal, query, "")
    if not found:
        return highlight(otherwise, query)
    start = max(0, found[0][0] - _BEFORE)
    if start:
        start = normal.find(" ", start, found[0][0]) + 1 or start
    shown = highlight(normal[start : start + EXCERPT], query)
    after = "…" if start + EXCERPT < len(normal) else ""
    return mark_safe(f"{'…' if start else ''}{shown}{after}")  # noqa: S308 (highlight escapes)


def _stretches(text: str, query: SearchQuery | str, field: str) -> list[tuple[int, int]]:
    """The ranges of the query's words in the text, in order; adjacent and overlapping ones are joined."""
    asked = parse(query) if isinstance(query, str) else query
    wanted = [term.phrase for term in asked.terms if not term.is_negated and term.field in ("", field)]
    placed = word_spans(text) if wanted else []
    stretches = sorted(stretch for phrase in set(wanted) for stretch in _spans(placed, phrase))
    joined: list[tuple[int, int]] = []
    for start, end in stretches:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _spans(placed: list[WordSpan], phrase: Phrase) -> list[tuple[int, int]]:
    size = len(phrase.words)
    last = phrase.words[-1]
    found: list[tuple[int, int]] = []
    for at in range(len(placed) - size + 1):
        window = placed[at : at + size]
        if any(each.word != word for each, word in zip(window[:-1], phrase.words[:-1], strict=True)):
            continue
        if window[-1].word == last:
            found.append((window[0].start, window[-1].end))
        elif phrase.is_prefix and window[-1].word.startswith(last):
            # If a pair of characters was found by its first one, only this one is marked.
            end = window[-1].end if last.isascii() else window[-1].start + len(last)
            found.append((window[0].start, end))
    return found
