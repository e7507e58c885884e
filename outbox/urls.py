"""Addresses of the outbox and of attachments both ways."""

from django.urls import URLPattern, path

from outbox.views import (
    actions,
    afterwards,
    attachments,
    bulk_all,
    compose,
    detail,
    drafts,
    known,
    lists,
    switch,
    times,
)

app_name = "outbox"
urlpatterns: list[URLPattern] = [
    path("", lists.outbox, name="list"),
    path("changes/", lists.changes, name="changes"),
    path("compose/", compose.compose, name="compose"),
    path("drafts/", drafts.listed, name="drafts"),
    path("drafts/save/", drafts.save, name="draft_save"),
    path("drafts/<int:pk>/discard/", drafts.discard, name="draft_discard"),
    path("addresses/", known.addresses, name="addresses"),
    path("bulk/", actions.bulk, name="bulk"),
    path("all/", bulk_all.bulk_all, name="bulk_all"),
    path("operations/<int:pk>/", bulk_all.operation, name="operation"),
    path("operations/<int:pk>/stop/", bulk_all.stop_operation, name="stop_operation"),
    path("pause/", switch.pause_sending, name="pause_sending"),
    path("resume/", switch.resume_sending, name="resume_sending"),
    path("attachments/", attachments.attachments, name="attachments"),
    path("attachments/policy/", attachments.policy, name="policy"),
    path("attachments/storage/", attachments.storage, name="storage"),
    path("<int:pk>/", detail.detail, name="detail"),
    path("<int:pk>/state/", detail.state, name="state"),
    path("<int:pk>/html/", detail.html, name="html"),
    path("<int:pk>/source.eml", detail.eml, name="eml"),
    path("<int:pk>/attachments/<int:position>/", detail.attachment, name="attachment"),
    path("<int:pk>/attachments/<int:position>/preview/", attachments.preview, name="preview"),
    path("<int:pk>/attachments/<int:position>/picture/", attachments.picture, name="picture"),
    path("<int:pk>/retry/", actions.retry, name="retry"),
    path("<int:pk>/send-now/", actions.send_now, name="send_now"),
    path("<int:pk>/cancel/", actions.cancel, name="cancel"),
    path("<int:pk>/mark-as-sent/", actions.mark_as_sent, name="mark_as_sent"),
    path("<int:pk>/undo/", times.undo, name="undo"),
    path("<int:pk>/reschedule/", times.reschedule, name="reschedule"),
    path("<int:pk>/look-in-sent/", afterwards.look, name="look_in_sent"),
    path("<int:pk>/copy-again/", afterwards.copy_again, name="copy_again"),
    path("<int:pk>/acknowledge-bounce/", afterwards.acknowledge, name="acknowledge_bounce"),
    path("<int:pk>/send-again/", actions.send_again, name="send_again"),
]
