"""What a person types: a mail to send, the attachment policy. Refusals are sentences at the field."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.models import Account
from outbox.compose import addresses
from outbox.compose import attachments as compose_attachments
from outbox.compose.attachments import AttachmentInput
from outbox.compose.carried_attachments import Carried
from outbox.compose.send_time import checked_send_at
from outbox.errors import OutboxError, ValidationFailed
from outbox.models import AttachmentPolicy

_SIZE = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*(bytes|byte|b|kb|kib|mb|mib|gb|gib)?\s*", re.IGNORECASE)
NO_STORE = compose_attachments.Store(enabled=False, root=Path())  # a browser attaches what it uploads, never a path
_UNIT = {"k": 1024, "m": 1024**2, "g": 1024**3, "b": 1, "": 1}
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")  # RFC 6838, 4.2


def read_size(text: str) -> int:
    """ "25 MiB" or "500 kB" or "1000" -> bytes; k, M and G are 1024-fold. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(text)
    return int(float(match[1].replace(",", ".")) * _UNIT[(match[2] or "")[:1].lower()])


def write_size(size: int) -> str:
    """The largest unit that holds the size exactly: 26214400 -> "25 MiB"."""
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} bytes"


class SeveralFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class SeveralFilesField(forms.FileField):
    """Any number of files; cleans to a list."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=SeveralFilesInput(), **kwargs)

    def clean(self, value: Any, initial: Any = None) -> list[UploadedFile[bytes]]:
        files = value if isinstance(value, list | tuple) else [value] if value else []
        return [super(SeveralFilesField, self).clean(file, initial) for file in files]


class ComposeForm(forms.Form):
    """A mail to be queued. outbox.api checks everything again; here are the sentences for what is left out."""

    # Made with the page: the same page sent twice, by a double click or a reload, is one mail.
    idempotency_key = forms.UUIDField(widget=forms.HiddenInput, required=False)
    account = forms.ModelChoiceField(
        Account.objects.none(),
        label=_("From"),
        empty_label=None,
        error_messages={
            "required": _("Choose the account to send from."),
            "invalid_choice": _("You cannot send from this account. Choose another."),
        },
    )
    to = forms.CharField(
        label=_("To"),
        max_length=20_000,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=_("One address or several, separated by commas."),
        error_messages={"required": _("Name at least one recipient.")},
    )
    cc = forms.CharField(label=_("Cc"), max_length=20_000, required=False)
    bcc = forms.CharField(
        label=_("Bcc"), max_length=20_000, required=False, help_text=_("The other recipients do not see these.")
    )
    subject = forms.CharField(
        label=_("Subject"), max_length=2_000, error_messages={"required": _("Give the mail a subject.")}
    )
    body_text = forms.CharField(
        label=_("Text"),
        widget=forms.Textarea(attrs={"rows": 14, "dir": "auto"}),
        strip=False,
        error_messages={"required": _("Write the text of the mail.")},
    )
    # Of a mail that is written again: a browser cannot choose files by itself.
    kept = forms.MultipleChoiceField(
        label=_("Attached already"), required=False, widget=forms.CheckboxSelectMultiple, choices=[]
    )
    attachments = SeveralFilesField(label=_("Attachments"), required=False, allow_empty_file=True)
    send_at = forms.DateTimeField(
        label=_("Send at"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        error_messages={"invalid": _("This is no date and time. Write it as in 2030-01-31 09:00, or leave it empty.")},
    )
    failure_mode = forms.ChoiceField(
        label=_("Let the first attempt fail on purpose"),
        choices=[
            ("", _("No")),
            ("network", _("As if the network failed")),
            ("provider", _("As if the provider refused")),
        ],
        required=False,
        help_text=_("A drill: nothing is sent by that attempt, and the attempt is marked as a drill."),
    )

    def __init__(
        self,
        *args: Any,
        accounts: Any,
        is_staff: bool,
        policy: AttachmentPolicy,
        carried: Sequence[Carried] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._offer(carried)
        zone = timezone.get_current_timezone_name()
        self.fields["send_at"].help_text = gettext("Leave it empty to send now. The time is that of %(zone)s.") % {
            "zone": zone
        }
        self.fields["account"].queryset = accounts  # type: ignore[attr-defined]
        # A list, or each look at the choices asks the database.
        self.fields["account"].choices = [(each.pk, _sender(each)) for each in accounts]  # type: ignore[attr-defined]
        self.fields["idempotency_key"].initial = uuid.uuid4
        self.fields["attachments"].help_text = policy_words(policy)
        # The browser says so before it sends megabytes; the server decides.
        self.fields["attachments"].widget.attrs |= {
            "data-largest": policy.max_size_bytes,
            "data-types": " ".join(policy.allowed_content_types),
        }
        for name in ("to", "cc", "bcc"):
            self.fields[name].widget.attrs |= {"autocomplete": "off", "spellcheck": "false", "data-complete": ""}
        if not is_staff:
            del self.fields["failure_mode"]

    def _offer(self, carried: Sequence[Carried]) -> None:
        """The files of a mail that is written again or passed on, as far as the policy lets them out."""
        self._carried = {file.key: file for file in carried if not file.refusal}
        self.not_carried = [file for file in carried if file.refusal]
        if not self._carried:
            del self.fields["kept"]
            return
        choices = [(key, f"{file.filename} ({filesizeformat(file.size)})") for key, file in self._carried.items()]
        self.fields["kept"].choices = choices  # type: ignore[attr-defined]
        self.fields["kept"].initial = [key for key, file in self._carried.items() if file.is_chosen]

    def clean_kept(self) -> list[AttachmentInput]:
        try:
            return [self._carried[key].read() for key in self.cleaned_data["kept"]]
        except OutboxError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_send_at(self) -> datetime | None:
        given: datetime | None = self.cleaned_data["send_at"]
        if given and given <= timezone.now():
            raise forms.ValidationError(
                gettext("This time is past. Choose a later one, or leave it empty to send now.")
            )
        try:
            return checked_send_at(given, timezone.now())
        except OutboxError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_to(self) -> str:
        return self._addresses("to", gettext("To"))

    def clean_cc(self) -> str:
        return self._addresses("cc", gettext("Cc"))

    def clean_bcc(self) -> str:
        return self._addresses("bcc", gettext("Bcc"))

    def _addresses(self, name: str, label: str) -> str:
        given = str(self.cleaned_data[name])
        try:
            found = addresses.parse(label, given)
        except OutboxError as error:
            raise forms.ValidationError(str(error)) from error
        if name == "to" and not found:
            raise forms.ValidationError(gettext("Name at least one recipient."))
        return given

    def clean_subject(self) -> str:
        subject = str(self.cleaned_data["subject"])
        try:
            addresses.refuse_breaks(gettext("The subject"), subject)
        except OutboxError as error:
            raise forms.ValidationError(str(error)) from error
        return subject

    def clean_attachments(self) -> list[AttachmentInput]:
        current, read = AttachmentPolicy.current(), []
        for file in self.cleaned_data["attachments"]:
            try:
                read.append(read_upload(file, current))
            except OutboxError as error:
                self.add_error("attachments", f"{file.name}: {gettext(str(error))}. {policy_words(current)}")
        return read

    def clean_body_text(self) -> str:
        text = str(self.cleaned_data["body_text"])
        if not text.strip():
            raise forms.ValidationError(gettext("Write the text of the mail."))
        return text.replace("\r\n", "\n")


def _sender(account: Account) -> str:
    return f"{account.display_name} <{account.email}>" if account.display_name else account.email


def read_upload(file: UploadedFile[bytes], current: AttachmentPolicy) -> AttachmentInput:
    """Raises OutboxError. The size is checked before the bytes are read into memory."""
    if (file.size or 0) > current.max_size_bytes:
        raise ValidationFailed(compose_attachments.TOO_LARGE)
    given = AttachmentInput(filename=file.name or "", content_type=file.content_type or "", content=file.read())
    compose_attachments.read_attachment(given, current, NO_STORE)
    return given


def policy_words(current: AttachmentPolicy) -> str:
    """The policy as a sentence beside the file picker."""
    return gettext("Each up to %(size)s, of type %(types)s.") % {
        "size": filesizeformat(current.max_size_bytes),
        "types": ", ".join(current.allowed_content_types),
    }


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
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
        types = list(dict.fromkeys(re.split(r"[\s,;]+", self.cleaned_data["types"].strip().lower())))
        for given in types:
            if not _TYPE.fullmatch(given):
                raise forms.ValidationError(
                    gettext("“%(given)s” is no type. Write it as in application/pdf.") % {"given": given[:60]}
                )
        return types

    def save(self, commit: bool = True) -> AttachmentPolicy:
        self.instance.max_size_bytes = self.cleaned_data["max_size"]
        self.instance.allowed_content_types = self.cleaned_data["types"]
        saved: AttachmentPolicy = super().save(commit)
        return saved
