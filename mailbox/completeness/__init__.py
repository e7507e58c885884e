"""Checks each night, folder by folder, whether all mail of the synced folders is stored as the server has it.

compare            compares the server's UIDs and sizes with the stored ones. Pure
sample             fetches some messages again and compares their digests; stores a damaged copy again
walk               compares an account, a few seconds at a time, on one connection, under the lease of its sync
signature          signs the report (Ed25519)
comparison_times   when each account is compared
words              a report as text

Way in: `walk.go_on(account_pk)`. Nothing is changed on the server. Missing messages are fetched by the next sync, which
is made to compare all UIDs (mailbox.sync.flags_and_expunges).
"""
