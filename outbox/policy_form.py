"""The form of the attachment policy: a size with its unit, and one type on each line."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from outbox.models import AttachmentPolicy

_SIZE = re.compile(r"\s*+(\d++(?:[.,]\d++)?)\s*+(bytes|byte|b|kb|kib|mb|mib|gb|gib)?\s*+", re.IGNORECASE)
_UNIT = {"k": 1024, "m": 1024**2, "g": 1024**3, "b": 1, "": 1}
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")  # RFC 6838, 4.2


def read_size(text: str) -> int:
    """ "25 MiB" or "500 kB" or "1000" -> bytes; k, M and G are 1024-fold. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(text)
    return int(float(match[1].replace(",", ".")) * _UNIT[(match[2] or "")[:1].lower()])


def write_size(size: int) -> str:
    """The size in the largest unit that gives a whole number: 26214400 -> "25 MiB"."""
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} bytes"


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """The form of the attachment policy, for its page, the admin and the API."""

    max_size = forms.CharField(
        label=_("Largest attachment"),
        max_length=40,
        help_text=_("With its unit, as in 25 MiB or 500 KiB."),
        error_messages={"required": _("Give the largest size, as in 25 MiB.")},
    )
    types = forms.CharField(
        label=_("Allowed types"),
        widget=forms.Textarea(attrs={"class": "code", "rows": 8, "spellcheck": "false"}),
        help_text=_("One a line, as in application/pdf."),
        error_messages={"required": _("Allow at least one type, each as in application/pdf.")},
    )

    class Meta:
        model = AttachmentPolicy
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("max_size", write_size(self.instance.max_size_bytes))
        self.initial.setdefault("types", "\n".join(self.instance.allowed_content_types))

    def clean_max_size(self) -> int:
        """The size in bytes, from 1 byte to a tebibyte. Raises ValidationError."""
        try:
            size = read_size(self.cleaned_data["max_size"])
        except ValueError as error:
            raise forms.ValidationError(gettext("This is no size. Write it as in 25 MiB or 500 KiB.")) from error
        if size <= 0:
            raise forms.ValidationError(gettext("The maximum size must be greater than 0."))
        if size > 2**40:
            raise forms.ValidationError(gettext("No mail server takes more than a terabyte. Give a smaller size."))
        return size

    def clean_types(self) -> list[str]:
        """The types in lower case, each once (RFC 6838 4.2). Raises ValidationError."""
        types = list(dict.fromkeys(re.split(r"[\s,;]+", self.cleaned_data["types"].strip().lower())))
        for given in types:
            if not _TYPE.fullmatch(given):
                raise forms.ValidationError(
                    gettext("“%(given)s” is no type. Write it as in application/pdf.") % {"given": given[:60]}
                )
        return types

    def save(self, commit: bool = True) -> AttachmentPolicy:
        """Write the size in bytes and the list of types into the policy; with `commit` False the caller saves it."""
        self.instance.max_size_bytes = self.cleaned_data["max_size"]
        self.instance.allowed_content_types = self.cleaned_data["types"]
        saved: AttachmentPolicy = super().save(commit)
        return saved
