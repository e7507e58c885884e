"""The texts of scripts, such as relative times, which templates use as well.

Scripts get them as JSON in a data attribute ({% words %}); {number} and the like are placeholders.
"""

from __future__ import annotations

import json

from django.utils.translation import gettext_lazy as _

from mailbox.lazy_text import UNITS, Words

AGO, IN, JUST_NOW, DUE_NOW = _("{time} ago"), _("in {time}"), _("just now"), _("due now")

SETS: dict[str, dict[str, Words]] = {
    "page": {
        **{name: form for name, _size, form in UNITS},
        "ago": AGO,
        "in": IN,
        "justNow": JUST_NOW,
        "dueNow": DUE_NOW,
        "copied": _("Copied"),
        "stale": _(
            "The site gave no answer to this page since {time}: what you see may be out of date. It is asked again."
        ),
    },
    "draft": {
        "signedOut": _("Not kept: you are signed out. Sign in in another tab, then resume here."),
        "noAnswer": _("Not kept: the site does not answer. It is tried again."),
        "notSent": _(
            "Nothing was sent: the site does not answer. What you wrote stands here, and is kept as soon as it does."
        ),
        "kept": _("Kept as a draft at {time}."),
        "tooLarge": _("too large, {size} MB of at most {most} MB."),
        "wrongType": _("its type {type} is not allowed."),
        "without": _("Send without it"),
        "attaching": _("Attaching …"),
        "attached": _("Attached"),
        "understood": _("Recipients as understood"),
        "remove": _("Remove {address}"),
        "knownAddresses": _("Known addresses"),
    },
    "formatting": {
        "loses": _("Plain text has no bold, lists, links or pictures: they are lost. Go on?"),
        "failed": _("The site gave no answer: the text stays as it is. Try again."),
        "foreign": _("Pictures of other sites were not pasted: attach them instead."),
        "noAddress": _("This is no address of a page or of a mailbox."),
        "place": _("Place in the text"),
    },
    "ticked": {
        # Translators: whatever the number is, so where it must agree say it as "ticked: {number}".
        "ticked": _("{number} ticked"),
    },
    "answer": {
        "sent": _("Your answer was queued."),
        "open": _("Open it"),
        "kept": _("The page for your answer did not open here. Copy what you typed, then open it."),
    },
    "walk": {"back": _("Back to the list"), "previous": _("Previous"), "next": _("Next")},
    "sheet": {"close": _("Close")},
}


def of_set(name: str) -> str:
    """A set of texts as JSON, in the active language."""
    return json.dumps({key: str(words) for key, words in SETS[name].items()}, ensure_ascii=False)
