"""The results of look-ups in Sent as sentences: stored in English, shown in the reader's language."""

from __future__ import annotations

from django.utils.translation import get_language_bidi, gettext, gettext_noop

from mailbox.localized import comma

NO_FOLDER = gettext_noop("The account has no Sent folder to look in.")
IT_IS_IN = gettext_noop("It is in %(what)s.")
IT_IS_IN_FOR_SOME = gettext_noop("It is in %(what)s, so it went out; whether to each of its recipients is not known.")
IT_IS_NOT_IN = gettext_noop("It is not in %(what)s.")
NOT_LOOKED_FOR = gettext_noop("It could not be looked for: %(what)s")
_WITH_A_NAME = (IT_IS_NOT_IN, IT_IS_IN_FOR_SOME, IT_IS_IN, NOT_LOOKED_FOR)
_ISOLATED = "\N{FIRST STRONG ISOLATE}%s\N{POP DIRECTIONAL ISOLATE}"


def quoted(*folders: str) -> str:
    """The folders' names in quotation marks, separated by commas."""
    return ", ".join(f"“{folder}”" for folder in folders)


def in_words(stored: str) -> str:
    """The stored sentence in the reader's language. An unknown sentence is returned as it is."""
    for sentence in _WITH_A_NAME:
        before, after = sentence.split("%(what)s")
        if stored.startswith(before) and stored.endswith(after):
            what = stored[len(before) : len(stored) - len(after)].replace("”, “", f"”{comma()}“")
            return gettext(sentence) % {"what": _ISOLATED % what if get_language_bidi() else what}
    return gettext(stored) if stored else ""
