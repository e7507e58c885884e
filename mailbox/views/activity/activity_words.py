"""The words and the link of an activity entry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailbox.models import AuditEntry

# Verb in the table -> words for a person. An unknown verb is shown as it is, without underscores.
SAID = {
    "add_account": _("added the account"),
    "import_accounts": _("imported accounts"),
    "add_saved_reply": _("saved a reply for others to use"),
    "edit_saved_reply": _("changed a saved reply"),
    "remove_saved_reply": _("removed a saved reply"),
    "add_alias": _("added an address to an account"),
    "edit_alias": _("changed an address of an account"),
    "remove_alias": _("removed an address from an account"),
    "edit_account": _("changed the account's settings"),
    "delete_account": _("deleted the account"),
    "stop_deletion": _("stopped deleting the account"),
    "keep_account": _("kept the account"),
    "sign_in_again": _("entered a new password"),
    "edit_provider": _("changed a sign-in provider"),
    "delete_provider": _("removed a sign-in provider"),
    "choose_folders": _("chose the folders to sync"),
    "list_folders": _("refreshed the folder list"),
    "sync_now": _("asked for a sync"),
    "compare_now": _("asked for a comparison with the server"),
    "pause_sending": _("paused sending"),
    "resume_sending": _("resumed sending"),
    "fetching_on": _("switched fetching on"),
    "fetching_off": _("switched fetching off"),
    "test_connection": _("tested the connection"),
    "test_mail": _("sent a test mail"),
    "retry": _("retried a send"),
    "send_now": _("sent without waiting for its time"),
    "send_again": _("sent again what may have gone out"),
    "mark_as_sent": _("marked as sent"),
    "cancel": _("cancelled a send"),
    "correct_address": _("corrected the address of a send that was refused"),
    "ticked_correct_address": _("corrected the addresses of several sends"),
    "undo": _("undid a send"),
    "bulk_retry": _("asked to retry all that match"),
    "bulk_send_now": _("asked to send all that match now"),
    "bulk_cancel": _("asked to cancel all that match"),
    "bulk_mark_as_sent": _("asked to mark all that match as sent"),
    "ticked_retry": _("retried several sends"),
    "ticked_send_now": _("sent several without waiting for their time"),
    "ticked_cancel": _("cancelled several sends"),
    "ticked_mark_as_sent": _("marked several as sent"),
    "ticked_send_again": _("sent several again that may have gone out"),
    "bulk_send_again": _("asked to send again all that match"),
    "bulk_finished": _("finished an action on all that match"),
    "bulk_stopped": _("stopped an action on all that match"),
    "reschedule": _("changed the time of a send"),
    "found_in_sent": _("found in Sent: it went out"),
    "copy_again": _("asked again for the copy in Sent"),
    "acknowledge_bounce": _("took note of a bounce"),
    "ticked_acknowledge_bounce": _("took note of several bounces"),
    "send": _("wrote a mail"),
    "reply": _("wrote an answer"),
    "fetch_now": _("asked for the whole of a too large message"),
    "fetch_again": _("asked to fetch a quarantined message again"),
    "remove_attachment": _("removed an attachment"),
    "reparse": _("asked to read stored mail again"),
    "retention_add": _("set a rule of retention"),
    "retention_end": _("ended a rule of retention"),
    "retention_removed": _("what a rule of retention means was removed"),
    "hold_add": _("put a legal hold"),
    "hold_release": _("released a legal hold"),
    "edit_feature": _("set a feature"),
    "edit_policy": _("changed the attachment policy"),
    "grant_rights": _("set a user's rights"),
    "withdraw_rights": _("removed a user or a user's rights"),
    "suppress": _("put an address on the list of those not written to"),
    "unsuppress": _("took an address off the list of those not written to"),
    "suppress_import": _("imported addresses not to write to"),
    "add_alert": _("added an alert"),
    "add_webhook": _("added a webhook"),
    "edit_webhook": _("changed a webhook"),
    "delete_webhook": _("deleted a webhook"),
    "test_webhook": _("tested a webhook"),
    "deliver_events_again": _("had events delivered again"),
    "edit_alert": _("changed an alert"),
    "test_alert": _("sent a test of an alert"),
    "delete_alert": _("deleted an alert"),
    "make_token": _("made a token for a program"),
    "end_token": _("ended a token"),
    "use_token": _("had a program change something"),
    "change_password": _("changed the own password"),
    "sign_in": _("signed in"),
    "sign_in_failed": _("failed to sign in"),
    "switch_user_on": _("switched a user on"),
    "switch_user_off": _("switched a user off"),
    "end_sessions": _("ended a user's sessions"),
    "sign_in_refused": _("was refused at sign-in"),
    "roles_from_sign_on": _("has other roles by the company's sign-on"),
    "sign_on_connected": _("was connected with the company's sign-on"),
    "sign_in_locked": _("failed to sign in too often: closed for a while"),
    "sign_out_everywhere": _("signed out everywhere"),
    "second_factor_added": _("set up a second factor"),
    "second_factor_removed": _("removed a second factor"),
    "edit_sign_in_rules": _("changed the rules of signing in"),
    "end_session": _("ended a session"),
    "unlock_sign_in": _("opened sign-in again before its time"),
    "load_images": _("loaded the images of a mail"),
    "forward": _("forwarded a mail"),
    "change_profile": _("changed the own profile"),
    "trust_sender": _("trusted the images of a sender"),
    "distrust_sender": _("blocked the images of a sender again"),
    "take_message": _("took a message"),
    "release_message": _("gave a message back"),
    "message_done": _("marked a message as done"),
    "message_not_done": _("marked a message as not done"),
    "team_marks": _("changed the marks of a message"),
    "invite": _("invited somebody"),
    "withdraw_invitation": _("withdrew an invitation"),
    "send_link": _("sent somebody a link to choose a password"),
    "copy_link": _("made a link to copy, to choose somebody's password"),
    "asked_for_password": _("asked for a link to choose a password"),
    "set_password_by_link": _("chose a password by a link"),
    "asked_for_email": _("asked for another address"),
    "change_email": _("changed the own address"),
    "edit_user": _("changed a user's name or address"),
    "site_mail_on": _("chose the account that sends the site's own mail"),
    "site_mail_off": _("let an account send the site's own mail no longer"),
    "share_filter": _("shared a filter"),
    "remove_filter": _("removed a shared filter"),
    "go_on": _("had stopped folders fetched again"),
    "read_again": _("asked to read a delivery report again"),
    "export_asked": _("asked for messages as a file"),
    "export_downloaded": _("downloaded exported messages"),
    "export_removed": _("removed exported messages"),
    "person_looked_for": _("looked for a person's data"),
    "person_export": _("asked for a person's data as a file"),
    "person_erase": _("asked to erase a person's data"),
    "person_erased": _("had a person's data erased"),
    "person_refused": _("was refused the erasure of a person's data"),
}
# The same for actions on all accounts at once.
OF_ALL = {
    "pause_sending": _("paused sending of all accounts"),
    "resume_sending": _("resumed sending of all accounts"),
}
_BY_A_WORKER = {"found_in_sent", "retention_removed"}
_BEFORE_SIGN_IN = {
    "sign_in_failed",
    "sign_in_locked",
    "sign_in_refused",
    "asked_for_password",
    "set_password_by_link",
}
_THINGS = {
    "outbox": _("mail no. %(number)s of the outbox"),
    "operation": _("what became of it"),
    "message": _("message no. %(number)s"),
}
_PAGES = {
    "outbox": "outbox:detail",
    "operation": "outbox:operation",
    "message": "mailbox:message",
    "account": "mailbox:account",
}


@dataclass(frozen=True)
class ActivityLine:
    """An audit entry in words, with the link to its target."""

    entry: AuditEntry
    words: str
    who: str
    url: str
    thing: str  # text of the link, where it is neither the words themselves nor the subject; "" for no link of its own
    parts: int = 0  # of a bulk action: how many rows it changed
    subject: str = ""  # of the mail, if the user may see it


def told(entries: Iterable[AuditEntry]) -> list[ActivityLine]:
    """The entries as lines of a page; a QuerySet gets its users and accounts joined.

    Lines have a subject where the entries come from activity_mails.with_subjects().
    """
    if isinstance(entries, QuerySet):
        entries = entries.select_related("user", "account")
    entries = list(entries)
    for each in entries:
        if getattr(each, "is_unreadable", False):
            each.detail = ""
    return [
        ActivityLine(
            each, words_of(each), who_of(each), _url(each), _thing(each), subject=getattr(each, "subject", None) or ""
        )
        for each in entries
    ]


def who_of(entry: AuditEntry) -> str:
    """The user's name, or what acted when there is no user."""
    if entry.user:
        return str(entry.user.get_username())
    if entry.verb in _BY_A_WORKER:
        return gettext("a worker")
    if entry.verb in _BEFORE_SIGN_IN:
        return gettext("not signed in")
    return gettext("the site") if entry.detail == AuditEntry.OWN_MAIL else gettext("command line")


def words_of(entry: AuditEntry) -> str:
    """What was done, in words; for a verb of a newer release the verb itself."""
    if entry.target == "sending" and entry.verb in OF_ALL:
        return str(OF_ALL[entry.verb])
    return str(SAID.get(entry.verb, entry.verb.replace("_", " ")))


def _thing(entry: AuditEntry) -> str:
    kind, _colon, key = entry.target.partition(":")
    return str(_THINGS[kind]) % {"number": key} if kind in _THINGS else ""


def _url(entry: AuditEntry) -> str:
    kind, _colon, key = entry.target.partition(":")
    if kind not in _PAGES or not key.isdigit() or (kind == "account" and entry.account_id is None):
        return ""
    try:
        return reverse(_PAGES[kind], args=[int(key)])
    except NoReverseMatch:
        return ""
