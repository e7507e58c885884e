"""The form of a mail to send. Each error is a sentence at its field."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.translation import get_language_bidi, gettext
from django.utils.translation import gettext_lazy as _

from mailbox.localized import listed
from outbox.compose import addresses
from outbox.compose import attachments as compose_attachments
from outbox.compose.attachments import MAX_ATTACHMENTS, AttachmentInput
from outbox.compose.carried_attachments import CarriedAttachment
from outbox.compose.send_time import checked_send_at
from outbox.compose.senders import SenderIdentity
from outbox.errors import OutboxError, ValidationFailed
from outbox.models import AttachmentPolicy

NO_STORE = compose_attachments.AttachmentStore(
    enabled=False, root=Path()
)  # a browser attaches uploads only, never files by path


class SeveralFilesInput(forms.ClearableFileInput):
    """A file input that takes several files."""

    allow_multiple_selected = True


class SeveralFilesField(forms.FileField):
    """A field for any number of files; its cleaned value is a list."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=SeveralFilesInput(), **kwargs)

    def clean(self, value: Any, initial: Any = None) -> list[UploadedFile[bytes]]:
        """The uploaded files, [] for none; each checked as Django's FileField does. Raises ValidationError."""
        files = value if isinstance(value, list | tuple) else [value] if value else []
        return [super(SeveralFilesField, self).clean(file, initial) for file in files]


@dataclass(frozen=True)
class RefusedFile:
    """A file that the attachment policy refuses. The mail is not sent until the writer leaves the file out.

    `value` is its value in the form: "name<tab>reason" for an upload, whose bytes are not kept, else the key under
    which the file was offered.
    """

    value: str
    filename: str
    reason: str

    @classmethod
    def of_upload(cls, filename: str, reason: str) -> RefusedFile:
        """An uploaded file that the policy refused for `reason`; name and reason are cut, as the form carries them."""
        return cls(f"{filename[:255]}\t{reason[:300]}", filename, reason)

    @classmethod
    def read(cls, value: str) -> RefusedFile:
        """The refused file of a form's value, which the browser sent: cut at 600 characters, without NUL."""
        name, _tab, reason = value[:600].replace("\0", "").partition("\t")
        return cls(value, name, reason)

    @property
    def is_upload(self) -> bool:
        """Whether it was uploaded now, so that its bytes are not kept."""
        return "\t" in self.value


class SenderField(forms.ChoiceField):
    """A choice among the offered senders; its cleaned value is a SenderIdentity."""

    def offer(self, offered: Sequence[SenderIdentity]) -> None:
        """Set the choices, and tell the script which signature belongs to which."""
        self._offered = {each.form_value: each for each in offered}
        self.choices = [(value, _written(each)) for value, each in self._offered.items()]
        signatures = {value: each.signature.replace("\r\n", "\n").rstrip() for value, each in self._offered.items()}
        if len(offered) > 1 and any(signatures.values()):  # for the script that changes the signature with the sender
            self.widget.attrs["data-signatures"] = json.dumps(signatures)

    def sender(self, value: str) -> SenderIdentity | None:
        """The offered sender with this form value; None for any other value."""
        return self._offered.get(value)

    def clean(self, value: Any) -> SenderIdentity:
        """The chosen sender. Raises ValidationError for a value that was not offered."""
        return self._offered[super().clean(value)]


class ComposeForm(forms.Form):
    """A mail to be queued. outbox.api checks everything again; this form shows the errors at their fields."""

    # Made with the page, so that a form sent twice, by a double click or a reload, makes one mail.
    idempotency_key = forms.UUIDField(widget=forms.HiddenInput, required=False)
    account = SenderField(
        label=_("From"),
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
        required=False,  # a mail may have no text, if its writer confirms that
    )
    text_format = forms.ChoiceField(
        label=_("Format"),
        choices=[("", _("Plain text")), ("markdown", _("Markdown")), ("html", _("HTML"))],
        required=False,
    )
    # Files of a draft, or of the mail that is written again or forwarded; a page cannot put them into a file field.
    kept = forms.MultipleChoiceField(
        label=_("Attached already"), required=False, widget=forms.CheckboxSelectMultiple, choices=[]
    )
    attachments = SeveralFilesField(label=_("Attachments"), required=False, allow_empty_file=True)
    send_suppressed = forms.BooleanField(
        label=_("Send it anyway to addresses that bounced or complained"),
        required=False,
        help_text=_("It is recorded that you chose to."),
    )
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
        senders: Sequence[SenderIdentity],
        is_drill: bool,
        policy: AttachmentPolicy,
        carried: Sequence[CarriedAttachment] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._offer(carried)
        zone = timezone.get_current_timezone_name()
        self.fields["send_at"].help_text = gettext("Leave it empty to send now. The time is that of %(zone)s.") % {
            "zone": zone
        }
        self.fields["account"].offer(senders)  # type: ignore[attr-defined]
        self.fields["idempotency_key"].initial = uuid.uuid4
        self.fields["attachments"].help_text = policy_words(policy)
        # For the script that refuses a file before megabytes are uploaded; the server checks again.
        self.fields["attachments"].widget.attrs |= {
            "data-largest": policy.max_size_bytes,
            "data-types": " ".join(policy.allowed_content_types),
        }
        for name in ("to", "cc", "bcc"):
            self.fields[name].widget.attrs |= {"autocomplete": "off", "spellcheck": "false", "data-complete": ""}
        if not is_drill:
            del self.fields["failure_mode"]

    def _offer(self, carried: Sequence[CarriedAttachment]) -> None:
        """Offer the files that this mail may take over; those that the policy refuses go to `refused`."""
        self.left_out: set[str] = set()
        self._carried = {file.key: file for file in carried if not file.refusal}
        kept_here = [file for file in carried if file.refusal]
        self.refused = [RefusedFile(file.key, file.filename, file.refusal) for file in kept_here if not file.is_inline]
        self.pictures_left = [file for file in kept_here if file.is_inline]
        self.pictures = {file.picture: key for key, file in self._carried.items() if file.picture}
        if isinstance(self.data, QueryDict):
            self.refused += [RefusedFile.read(value) for value in self.data.getlist("refused")[:MAX_ATTACHMENTS]]
            self.left_out = set(self.data.getlist("without"))
        elif not self.is_bound:
            self.refused += [RefusedFile.read(value) for value in self.initial.get("refused", ())]
        if not self._carried:
            del self.fields["kept"]
            return
        choices = [(key, f"{file.filename} ({filesizeformat(file.size)})") for key, file in self._carried.items()]
        self.fields["kept"].choices = choices  # type: ignore[attr-defined]
        self.fields["kept"].initial = [key for key, file in self._carried.items() if file.is_chosen]

    def clean_kept(self) -> list[AttachmentInput]:
        """The ticked files that the mail takes over, with their bytes. Raises ValidationError."""
        try:
            return [self._carried[key].read() for key in self.cleaned_data["kept"]]
        except OutboxError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_send_at(self) -> datetime | None:
        """The chosen time, None for now. Raises ValidationError for a time that is past, or over a year ahead."""
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
        """The addresses as typed. Raises ValidationError for a wrong one, and for none at all."""
        return self._addresses("to", gettext("To"))

    def clean_cc(self) -> str:
        """The addresses as typed. Raises ValidationError for a wrong one."""
        return self._addresses("cc", gettext("Cc"))

    def clean_bcc(self) -> str:
        """The addresses as typed. Raises ValidationError for a wrong one."""
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
        """The subject. Raises ValidationError for line breaks and control characters."""
        subject = str(self.cleaned_data["subject"])
        try:
            addresses.refuse_breaks(gettext("The subject"), subject)
        except OutboxError as error:
            raise forms.ValidationError(str(error)) from error
        return subject

    def clean_attachments(self) -> list[AttachmentInput]:
        """The uploads that the policy allows. Each refused one that is not left out is an error of the field."""
        current, read = AttachmentPolicy.current(), []
        for file in self.cleaned_data["attachments"]:
            try:
                read.append(read_upload(file, current))
            except OutboxError as error:
                self.refused.append(RefusedFile.of_upload(file.name or "", gettext(str(error))))
        for each in self.refused:
            if each.value not in self.left_out:
                words = gettext("%(name)s: %(reason)s. Leave it out, or attach another file instead.")
                self.add_error("attachments", words % {"name": each.filename, "reason": each.reason.rstrip(".")})
        return read

    def clean_body_text(self) -> str:
        """The text with LF line ends; browsers send CRLF."""
        return str(self.cleaned_data["body_text"]).replace("\r\n", "\n")


def _written(sender: SenderIdentity) -> str:
    shown = f"{sender.name} <{sender.address}>" if sender.name else sender.address
    if get_language_bidi():  # HTML allows no <bdi> in an <option>
        shown = f"\N{LEFT-TO-RIGHT ISOLATE}{shown}\N{POP DIRECTIONAL ISOLATE}"
    words = gettext("%(sender)s, by %(account)s")
    return words % {"sender": shown, "account": sender.account.email} if sender.alias else shown


def read_upload(file: UploadedFile[bytes], current: AttachmentPolicy) -> AttachmentInput:
    """Read an uploaded file and check it; its size is checked before it is read into memory. Raises OutboxError."""
    if (file.size or 0) > current.max_size_bytes:
        raise ValidationFailed(compose_attachments.TOO_LARGE)
    given = AttachmentInput(filename=file.name or "", content_type=file.content_type or "", content=file.read())
    compose_attachments.read_attachment(given, current, NO_STORE)
    return given


def policy_words(current: AttachmentPolicy) -> str:
    """The policy as a sentence beside the file picker."""
    return gettext("Each up to %(size)s, of type %(types)s.") % {
        "size": filesizeformat(current.max_size_bytes),
        "types": listed(current.allowed_content_types),
    }
