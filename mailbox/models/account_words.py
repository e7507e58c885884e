"""Choices and messages for the columns of Account."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

SITE_MAIL_IS_NOT_FETCHED = gettext_noop(
    "This account sends the site's own mail, so its mail is not fetched: the links in it could be read here. Choose "
    "another account for the site's own mail first (People, “The site's own mail”)."
)


class SentCopyChoice(models.TextChoices):
    """Whether a copy of sent mail is stored in the account's Sent folder."""

    AUTOMATIC = "automatic", _("Automatic")
    ALWAYS = "always", _("Always")
    NEVER = "never", _("Never")
