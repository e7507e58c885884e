"""Claims rows of the outbox, sends them and saves the outcomes: here "never lost, never sent twice" is kept.

Way in: `deliver.deliver_account` and `worker`. A claim is one conditional UPDATE; each later step is conditional on its
token, and on the number of the row's newest attempt. `sender` sends mail after mail on one session; its base class in
`ledger` saves the outcomes (`endings`). They run on an event loop (`task_loop`), which makes its database queries
itself and commits the writes of several senders together (`database`). `recovery` settles rows of dead workers,
`clock_ahead` ends leases of wrong clocks, `doubts` makes a sent mail uncertain when its answer was not its own.
"""
