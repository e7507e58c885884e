"""Claims rows of the outbox, sends them and saves the outcomes: here "never lost, never sent twice" is kept.

Way in: `deliver.deliver_account` and `worker`. A claim is one conditional UPDATE; each later step is conditional on its
token, and on the number of the row's newest attempt.

The walk is `worker` (an event loop with a task for each account: `task_loop`) -> `deliver` -> `sender`, which sends
mail after mail on one session and whose base class in `ledger` claims rows and saves outcomes -> `smtp.session`, which
tells the mail's `attempt_watch` how it goes. `preparation` reads what an attempt needs, `outcomes` decides what became
of it, `finalization` saves that, `claims` has the steps between. The loop makes its database queries itself and commits
the writes of several senders together (`database`). `recovery` settles rows of dead workers, `clock_ahead` ends leases
of wrong clocks.
"""
