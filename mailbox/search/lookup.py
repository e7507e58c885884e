"""Asks the index of either database: which messages hold these words, newest first."""

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
# PostgreSQL: rows whose words are read one by one, newest first, before the index is asked; 5 microseconds each.
_MOST_WALKED = 4_000
_COMMON = 100  # a word that stands in one of so many rows
_FEW_ASKED = 1_000  # hits: whoever needs more has walked far already, and GIN finds the rest at once
_MOST_CONFIRMED, _CONFIRMED_AT_ONCE = 20_000, 1_000


@dataclass(frozen=True)
class Clause:
    """Satisfied when any of its phrases is there; when negated, when none is."""

    phrases: tuple[Phrase, ...]
    is_negated: bool = False


@dataclass(frozen=True)
class Match:
    """All clauses hold together."""

    clauses: tuple[Clause, ...]

    @property
    def is_exact(self) -> bool:
        """Whether it asks for single words only: PostgreSQL's GIN index knows no order of words."""
        return all(len(phrase.words) == 1 for clause in self.clauses for phrase in clause.phrases)

    def loosened(self) -> Match:
        """What GIN can answer alone: all the words of each phrase, in any order. Finds more, never less."""
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
    """What to ask the index; None when the query has nothing that it knows. account_ids None: of all accounts."""
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
    """Hits, highest key first. More may lie below `resume`; None when there are no more."""

    hits: list[Hit]
    resume: int | None


def find(match: Match, below: int, from_key: int, count: int) -> Found:
    """The first hits, at most `count`, with from_key <= key < below."""
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
    """Those of the hits (or of any rows of the index) that satisfy the match to the letter, in their order."""
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
    """SQLite: the words as they were indexed, read and compared. FTS5 takes 1 ms to be asked about one row."""
    placeholders = ", ".join(["%s"] * len(keys))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT rowid, words FROM message_words WHERE rowid IN ({placeholders})", keys)  # noqa: S608
        return {key for key, text in cursor if holds(match, f" {text} ")}


def holds(match: Match, text: str) -> bool:
    """Whether words with a space before and after each satisfy the match."""

    def has(phrase: Phrase) -> bool:
        return f" {' '.join(phrase.words)}{'' if phrase.is_prefix else ' '}" in text

    return all(any(map(has, clause.phrases)) != clause.is_negated for clause in match.clauses)


def _find_postgresql(match: Match, below: int, from_key: int, count: int) -> Found:
    """GIN finds all hits at once and has no order, so a common word is first looked for in the newest rows alone.

    The planner cannot be left to choose: it guesses that hits lie evenly, and where a word stands in old mail only it
    would read the whole table newest first, words and all.
    """
    window, most = min(8 * count, _MOST_WALKED), _MOST_WALKED if match.is_exact else _MOST_CONFIRMED
    while True:
        newest, walked, lowest = _walk(match, below, from_key, window, count)
        if len(newest) == count or walked < window:
            return _found(newest, count)
        # As dense as here, the rest of the page is so many rows away; with room for half that density.
        wanted = 2 * window * count // max(len(newest), 1)
        if wanted > most:
            if match.is_exact and count <= _FEW_ASKED and len(newest) * _COMMON >= walked:
                return Found(newest, lowest)  # GIN would find and sort all of a common word's hits
            break
        window = wanted
    if match.is_exact:
        return _found(_gin_hits(match, below, from_key, count), count)
    # GIN knows no order of words: what has them all is looked at, newest first, for the phrases.
    likely = _gin_hits(match.loosened(), below, from_key, _MOST_CONFIRMED)
    hits: list[Hit] = []
    for start in range(0, len(likely), _CONFIRMED_AT_ONCE):
        chunk = likely[start : start + _CONFIRMED_AT_ONCE]
        hits += confirm(match, chunk)
        if len(hits) >= count:
            return _found(hits[:count], count)
    return Found(hits, likely[-1][0] if len(likely) == _MOST_CONFIRMED else None)


def _walk(match: Match, below: int, from_key: int, window: int, count: int) -> tuple[list[Hit], int, int]:
    """The hits among the newest `window` rows, at most `count`; how many rows there were, and their lowest key."""
    hits = _rows(
        "WITH newest AS MATERIALIZED (SELECT * FROM message_search WHERE sort_key < %s AND sort_key >= %s "
        "ORDER BY sort_key DESC LIMIT %s) "
        "(SELECT sort_key, message_id FROM newest WHERE words @@ %s::tsquery ORDER BY sort_key DESC LIMIT %s) "
        "UNION ALL SELECT min(sort_key), count(*) FROM newest",
        [below, from_key, window, tsquery_text(match), count],
    )
    lowest, walked = hits.pop()  # the last row tells of them all
    return hits, walked, lowest


def _gin_hits(match: Match, below: int, from_key: int, count: int) -> list[Hit]:
    with transaction.atomic(), connection.cursor() as cursor:
        # The planner takes reading the words of every row to be cheaper than it is; they lie outside the rows.
        cursor.execute("SET LOCAL enable_seqscan = off")
        # "+ 0" keeps the key's own index out of it.
        cursor.execute(
            "SELECT sort_key, message_id FROM message_search WHERE words @@ %s::tsquery "
            "AND sort_key + 0 < %s AND sort_key + 0 >= %s ORDER BY sort_key + 0 DESC LIMIT %s",
            [tsquery_text(match), below, from_key, count],
        )
        hits = [(key, pk) for key, pk in cursor.fetchall()]
        # Inside a caller's transaction it would last until its end.
        cursor.execute("SET LOCAL enable_seqscan TO DEFAULT")
    return hits


def _rows(sql: str, parameters: Sequence[Any]) -> list[Hit]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [(key, pk) for key, pk in cursor.fetchall()]


def _split(match: Match) -> tuple[list[Clause], list[Phrase]]:
    """Clauses to be satisfied, at least one, and phrases that must not be there."""
    wanted = [clause for clause in match.clauses if not clause.is_negated]
    unwanted = [phrase for clause in match.clauses if clause.is_negated for phrase in clause.phrases]
    return wanted or [_facts([EVERY_MESSAGE])], unwanted


def fts5_expression(match: Match) -> str:
    """In FTS5's query language (https://sqlite.org/fts5.html, section 3); words never hold a quote."""
    wanted, unwanted = _split(match)
    parts = [" OR ".join(_fts5_phrase(phrase) for phrase in clause.phrases) for clause in wanted]
    expression = " AND ".join(f"({part})" for part in parts)
    if unwanted:
        expression = f"({expression}) NOT ({' OR '.join(_fts5_phrase(phrase) for phrase in unwanted)})"
    return expression


def _fts5_phrase(phrase: Phrase) -> str:
    return f'"{" ".join(phrase.words)}"' + (" *" if phrase.is_prefix else "")


def tsquery_text(match: Match) -> str:
    """In PostgreSQL's input syntax for a tsquery; words never hold a quote or a backslash."""
    wanted, unwanted = _split(match)
    parts = [" | ".join(_tsquery_phrase(phrase) for phrase in clause.phrases) for clause in wanted]
    expression = " & ".join(f"({part})" for part in parts)
    return expression + "".join(f" & !({_tsquery_phrase(phrase)})" for phrase in unwanted)


def _tsquery_phrase(phrase: Phrase) -> str:
    return " <-> ".join(f"'{word}'" for word in phrase.words) + (":*" if phrase.is_prefix else "")
