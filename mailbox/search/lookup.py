"""Queries the index, SQLite's or PostgreSQL's, for messages that contain given words, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from mailbox.search.index_terms import (
    EVERY_MESSAGE,
    FIELD_MARKS,
    HAS_ATTACHMENT,
    account_term,
    size_terms_above,
    size_terms_up_to,
)
from mailbox.search.query import SearchQuery, Term
from mailbox.search.tokenizer import Phrase

LOWEST_KEY, HIGHEST_KEY = -(2**63), 2**63 - 1
Hit = tuple[int, int]  # sort_key, message pk
# PostgreSQL: rows that are scanned newest first before GIN is queried; 5 microseconds each.
_MOST_WALKED = 4_000
_COMMON = 100  # a word counts as common if at least one row in so many contains it
_FEW_ASKED = 1_000  # hits; a caller that wants more has scanned far already, and GIN finds the rest at once
_MOST_CONFIRMED, _CONFIRMED_AT_ONCE = 20_000, 1_000


@dataclass(frozen=True)
class Clause:
    """Satisfied if the message contains any of the phrases; if negated, if it contains none."""

    phrases: tuple[Phrase, ...]
    is_negated: bool = False


@dataclass(frozen=True)
class Match:
    """A condition on the index: all clauses must be satisfied."""

    clauses: tuple[Clause, ...]

    @property
    def is_exact(self) -> bool:
        """Whether all phrases are single words. Only then GIN alone can answer, as it has no positions of words."""
        return all(len(phrase.words) == 1 for clause in self.clauses for phrase in clause.phrases)

    def loosened(self) -> Match:
        """A weaker condition that GIN can answer alone: the words of each phrase in any order. It never finds less."""
        clauses: list[Clause] = []
        for clause in self.clauses:
            is_simple = all(len(phrase.words) == 1 for phrase in clause.phrases)
            if is_simple:
                clauses.append(clause)
            elif not clause.is_negated and len(clause.phrases) == 1:
                whole = clause.phrases[0]
                clauses += [Clause((Phrase((word,)),)) for word in whole.words[:-1]]
                clauses.append(Clause((Phrase(whole.words[-1:], whole.is_prefix),)))
        return Match(tuple(clauses))


def _facts(terms: Sequence[str], *, is_negated: bool = False) -> Clause:
    return Clause(tuple(Phrase((term,)) for term in terms), is_negated)


def _term_clause(term: Term) -> Clause:
    mark = FIELD_MARKS.get(term.field, "")
    marked = tuple(mark + word for word in term.phrase.words)
    return Clause((Phrase(marked, term.phrase.is_prefix),), term.is_negated)


def match_of(query: SearchQuery, account_ids: Sequence[int] | None) -> Match | None:
    """The condition on the index; None if the query has none that the index can answer. account_ids None: all."""
    clauses = [_term_clause(term) for term in query.terms]
    if query.has_attachment is not None:
        clauses.append(_facts([HAS_ATTACHMENT], is_negated=not query.has_attachment))
    if query.larger is not None:
        clauses.append(_facts(size_terms_above(query.larger)))
    if query.at_most is not None:
        clauses.append(_facts(size_terms_up_to(query.at_most)))
    if not clauses:
        return None
    if account_ids is not None:
        clauses.append(_facts([account_term(account_id) for account_id in account_ids]))
    return Match(tuple(clauses))


@dataclass(frozen=True)
class Found:
    """Hits, highest key first. resume: more hits may be below this key; None if there are no more."""

    hits: list[Hit]
    resume: int | None


def find(match: Match, below: int, from_key: int, count: int) -> Found:
    """The first `count` hits with from_key <= key < below, highest key first."""
    if connection.vendor != "sqlite":
        return _find_postgresql(match, below, from_key, count)
    hits = _rows(
        "SELECT w.rowid, s.message_id FROM message_words w CROSS JOIN message_search s ON s.sort_key = w.rowid "
        "WHERE w.message_words MATCH %s AND w.rowid < %s AND w.rowid >= %s ORDER BY w.rowid DESC LIMIT %s",
        [fts5_expression(match), below, from_key, count],
    )
    return _found(hits, count)


def _found(hits: list[Hit], count: int) -> Found:
    return Found(hits, hits[-1][0] if len(hits) == count else None)


def confirm(match: Match, hits: Sequence[Hit]) -> list[Hit]:
    """Those of these index rows that satisfy the match exactly, in their order."""
    if not hits:
        return []
    keys = [key for key, _ in hits]
    if connection.vendor == "sqlite":
        confirmed = _confirmed_by_text(match, keys)
    else:
        sql = "SELECT sort_key, message_id FROM message_search WHERE sort_key = ANY(%s) AND words @@ %s::tsquery"
        confirmed = {key for key, _ in _rows(sql, [keys, tsquery_text(match)])}
    return [hit for hit in hits if hit[0] in confirmed]


def _confirmed_by_text(match: Match, keys: Sequence[int]) -> set[int]:
    """SQLite: compare the rows' indexed words in Python, as an FTS5 query for one row takes 1 ms."""
    placeholders = ", ".join(["%s"] * len(keys))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT rowid, words FROM message_words WHERE rowid IN ({placeholders})", keys)  # noqa: S608
        return {key for key, text in cursor if holds(match, f" {text} ")}


def holds(match: Match, text: str) -> bool:
    """Whether a text satisfies the match. text: words with a space before and after each."""

    def has(phrase: Phrase) -> bool:
        return f" {' '.join(phrase.words)}{'' if phrase.is_prefix else ' '}" in text

    return all(any(map(has, clause.phrases)) != clause.is_negated for clause in match.clauses)


def _find_postgresql(match: Match, below: int, from_key: int, count: int) -> Found:
    """find() for PostgreSQL: scan the newest rows first, and query GIN if hits are too rare there.

    GIN returns all hits at once and without order, which is slow for a common word. The choice is not left to the
    planner: it assumes that hits are evenly distributed, so for a word that only old mail contains it would scan the
    whole table newest first, including the words.
    """
    window, most = min(8 * count, _MOST_WALKED), _MOST_WALKED if match.is_exact else _MOST_CONFIRMED
    while True:
        newest, walked, lowest = _walk(match, below, from_key, window, count)
        if len(newest) == count or walked < window:
            return _found(newest, count)
        # At the density of hits so far, the page needs half of this many rows.
        wanted = 2 * window * count // max(len(newest), 1)
        if wanted > most:
            if match.is_exact and count <= _FEW_ASKED and len(newest) * _COMMON >= walked:
                return Found(newest, lowest)  # a common word: GIN would return and sort all its hits
            break
        window = wanted
    if match.is_exact:
        return _found(_gin_hits(match, below, from_key, count), count)
    # GIN has no positions of words, so rows with all words are checked for the phrases, newest first.
    likely = _gin_hits(match.loosened(), below, from_key, _MOST_CONFIRMED)
    hits: list[Hit] = []
    for start in range(0, len(likely), _CONFIRMED_AT_ONCE):
        chunk = likely[start : start + _CONFIRMED_AT_ONCE]
        hits += confirm(match, chunk)
        if len(hits) >= count:
            return _found(hits[:count], count)
    return Found(hits, likely[-1][0] if len(likely) == _MOST_CONFIRMED else None)


def _walk(match: Match, below: int, from_key: int, window: int, count: int) -> tuple[list[Hit], int, int]:
    """The hits among the newest `window` rows, at most `count`; the number of these rows, and their lowest key."""
    hits = _rows(
        "WITH newest AS MATERIALIZED (SELECT * FROM message_search WHERE sort_key < %s AND sort_key >= %s "
        "ORDER BY sort_key DESC LIMIT %s) "
        "(SELECT sort_key, message_id FROM newest WHERE words @@ %s::tsquery ORDER BY sort_key DESC LIMIT %s) "
        "UNION ALL SELECT min(sort_key), count(*) FROM newest",
        [below, from_key, window, tsquery_text(match), count],
    )
    lowest, walked = hits.pop()  # the last row is the summary
    return hits, walked, lowest


def _gin_hits(match: Match, below: int, from_key: int, count: int) -> list[Hit]:
    with transaction.atomic(), connection.cursor() as cursor:
        # The planner underestimates the cost of reading every row's words, which are stored out of line (TOAST).
        cursor.execute("SET LOCAL enable_seqscan = off")
        # "+ 0" prevents the use of the key's own index.
        cursor.execute(
            "SELECT sort_key, message_id FROM message_search WHERE words @@ %s::tsquery "
            "AND sort_key + 0 < %s AND sort_key + 0 >= %s ORDER BY sort_key + 0 DESC LIMIT %s",
            [tsquery_text(match), below, from_key, count],
        )
        hits = [(key, pk) for key, pk in cursor.fetchall()]
        # Otherwise the setting would last until the end of a caller's transaction.
        cursor.execute("SET LOCAL enable_seqscan TO DEFAULT")
    return hits


def _rows(sql: str, parameters: Sequence[Any]) -> list[Hit]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [(key, pk) for key, pk in cursor.fetchall()]


def _split(match: Match) -> tuple[list[Clause], list[Phrase]]:
    """The positive clauses, at least one, and the phrases that must not occur."""
    wanted = [clause for clause in match.clauses if not clause.is_negated]
    unwanted = [phrase for clause in match.clauses if clause.is_negated for phrase in clause.phrases]
    return wanted or [_facts([EVERY_MESSAGE])], unwanted


def fts5_expression(match: Match) -> str:
    """The match in FTS5's query language (https://sqlite.org/fts5.html, section 3). Words never contain a quote."""
    wanted, unwanted = _split(match)
    parts = [" OR ".join(_fts5_phrase(phrase) for phrase in clause.phrases) for clause in wanted]
    expression = " AND ".join(f"({part})" for part in parts)
    if unwanted:
        expression = f"({expression}) NOT ({' OR '.join(_fts5_phrase(phrase) for phrase in unwanted)})"
    return expression


def _fts5_phrase(phrase: Phrase) -> str:
    return f'"{" ".join(phrase.words)}"' + (" *" if phrase.is_prefix else "")


def tsquery_text(match: Match) -> str:
    """The match in PostgreSQL's input syntax for a tsquery. Words never contain a quote or a backslash."""
    wanted, unwanted = _split(match)
    parts = [" | ".join(_tsquery_phrase(phrase) for phrase in clause.phrases) for clause in wanted]
    expression = " & ".join(f"({part})" for part in parts)
    return expression + "".join(f" & !({_tsquery_phrase(phrase)})" for phrase in unwanted)


def _tsquery_phrase(phrase: Phrase) -> str:
    return " <-> ".join(f"'{word}'" for word in phrase.words) + (":*" if phrase.is_prefix else "")
