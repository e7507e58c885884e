"""Syncs the folders of one account: plan, fetch, parse, store, save the cursor.

Way in: `folder_sync.sync` (one folder, signs in itself), `folder_sync.sync_folder` (within an AccountSession).
Rows and cursor commit together. RFC 3501, 4549 (disconnected clients), 7162 (CONDSTORE, QRESYNC).
"""
