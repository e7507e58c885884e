"""Decides which accounts are synced when, and keeps the report of each run.

Way in: `runner.run_sync` for accounts that somebody asked for, `runner.run_share` for those that are due. A run claims
slices of the queue of accounts (account_queue) and gives each account a turn (account_turn), which syncs its
folders (sync.folder_sync). Several turns are committed together (results), and the run keeps a report (report).
"""
