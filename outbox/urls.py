"""Addresses of the outbox and of attachments both ways."""

from django.urls import URLPattern, path

from outbox.views import sending_switch
from outbox.views.attachments import attachments
from outbox.views.lists import bounced_rows, corrections, outbox_list, suppressed, ticked_rows
from outbox.views.lists import bulk as views_bulk
from outbox.views.mail import actions, after_delivery, detail
from outbox.views.mail import send_time as views_send_time
from outbox.views.writing import address_completion, compose, drafts, formatting, saved_replies

app_name = "outbox"
urlpatterns: list[URLPattern] = [
    path("", outbox_list.outbox, name="list"),
    path("changes/", outbox_list.changes, name="changes"),
    path("compose/", compose.compose, name="compose"),
    path("compose/convert/", formatting.convert, name="convert"),
    path("compose/picture/", formatting.picture, name="compose_picture"),
    path("replies/", saved_replies.listed, name="saved_replies"),
    path("replies/<int:pk>/", saved_replies.edit, name="saved_reply"),
    path("replies/<int:pk>/remove/", saved_replies.remove, name="saved_reply_remove"),
    path("replies/<int:pk>/text/", saved_replies.text, name="saved_reply_text"),
    path("drafts/", drafts.listed, name="drafts"),
    path("drafts/save/", drafts.save, name="draft_save"),
    path("drafts/<int:pk>/discard/", drafts.discard, name="draft_discard"),
    path("addresses/", address_completion.addresses, name="addresses"),
    path("bulk/", ticked_rows.bulk, name="bulk"),
    path("correct/", corrections.correct, name="correct"),
    path("seen/", bounced_rows.acknowledge_listed, name="acknowledge_listed"),
    path("all/", views_bulk.bulk_all, name="bulk_all"),
    path("operations/<int:pk>/", views_bulk.operation, name="operation"),
    path("operations/<int:pk>/stop/", views_bulk.stop_operation, name="stop_operation"),
    path("pause/", sending_switch.pause_sending, name="pause_sending"),
    path("resume/", sending_switch.resume_sending, name="resume_sending"),
    path("suppressed/", suppressed.suppressed, name="suppressed"),
    path("suppressed/add/", suppressed.add, name="suppress"),
    path("suppressed/import/", suppressed.upload, name="suppressed_import"),
    path("suppressed/<int:pk>/remove/", suppressed.remove, name="unsuppress"),
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
    path("<int:pk>/undo/", views_send_time.undo, name="undo"),
    path("<int:pk>/reschedule/", views_send_time.reschedule, name="reschedule"),
    path("<int:pk>/look-in-sent/", after_delivery.look, name="look_in_sent"),
    path("<int:pk>/copy-again/", after_delivery.copy_again, name="copy_again"),
    path("<int:pk>/acknowledge-bounce/", after_delivery.acknowledge, name="acknowledge_bounce"),
    path("<int:pk>/send-again/", actions.send_again, name="send_again"),
]
