"""The functions of the mailbox that django-q2 calls. Their arguments are ids, numbers and times, never content.

Each may run twice or be killed at any instruction. Queues and Schedule rows store a task as a dotted path:
`mailbox.tasks.NAME`, whichever of these modules has the function, so it may move between them while tasks wait.
"""

from mailbox.tasks.autoconfig import look_up
from mailbox.tasks.completeness import compare_account, compare_due
from mailbox.tasks.exports import export_slice, export_sweep
from mailbox.tasks.oauth import oauth_discover, oauth_finish, oauth_keep
from mailbox.tasks.pictures import count_storage, fetch_images, make_preview, tidy
from mailbox.tasks.reparse import reparse_slice, reparse_stalled
from mailbox.tasks.requeue_unstarted import take_up_forgotten
from mailbox.tasks.sync import (
    beat,
    list_folders,
    prune,
    remove_expunged,
    remove_expunged_slice,
    sweep_raw,
    sync_account,
    sync_pushed,
    sync_share,
    sync_tick,
)

__all__ = [
    "beat",
    "compare_account",
    "compare_due",
    "count_storage",
    "export_slice",
    "export_sweep",
    "fetch_images",
    "list_folders",
    "look_up",
    "make_preview",
    "oauth_discover",
    "oauth_finish",
    "oauth_keep",
    "prune",
    "remove_expunged",
    "remove_expunged_slice",
    "reparse_slice",
    "reparse_stalled",
    "sweep_raw",
    "sync_account",
    "sync_pushed",
    "sync_share",
    "sync_tick",
    "take_up_forgotten",
    "tidy",
]
