"""Decides which accounts are synced when, and keeps the report of each run.

Way in: `runner.run_sync` for what was asked for, `runner.run_share` for what is due. From there it goes down: the next
slice of the queue of accounts (account_queue, jobs), one account's turn (account_turn), its folders (sync.folder_sync);
what the turns found is written together (results), and told (report).
"""
