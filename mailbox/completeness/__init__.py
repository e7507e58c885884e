"""Whether all mail of the chosen folders is here, as the server has it: compared each night, folder by folder.

compare     what the server states of some UIDs against what is stored of them. Pure
sample      some whole messages fetched anew, and their digests compared; a damaged copy is stored again
walk        an account: in parts of some seconds, on one connection, under the lease of its sync
signature   the report, signed (Ed25519)
schedule    when each account is compared

Way in: `walk.go_on(account_pk)`. Nothing is changed on the server. What is missing is fetched by the next sync, which
is told to compare all UIDs (mailbox.sync.flags_and_expunges).
"""
