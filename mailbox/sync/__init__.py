"""Syncs the folders of one account: plan, fetch, parse, store, save the cursor.

Way in: `folder_sync.sync` (one folder, signs in itself), `folder_sync.sync_folder` (within an AccountSession).
sync_folder opens the folder. Where EXAMINE alone shows that nothing is new (no_change), that is all; else it takes
a FolderRun, which fetches and stores batches (folder_run, prefetch, poison), through a change of UIDVALIDITY
(uidvalidity, reassigned_uids), the walks (plan), the messages that were asked for (requested, large_messages), flags
and expunges (flags_and_expunges). What came of it is an outcome.

Rows and cursor commit together. RFC 3501, 4549 (disconnected clients), 7162 (CONDSTORE, QRESYNC).
"""
