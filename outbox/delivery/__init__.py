"""Claims rows, sends them and writes down what came of it: the machine behind "never lost, never twice".

Way in: `deliver.deliver_account` and `worker`. A claim is one conditional UPDATE; each later step is conditional on its
token, and on the number of the row's newest attempt. `sender` tries mail after mail on one session and builds on
`ledger`, which writes down what came of them (`endings`). Their event loop is `task_loop`'s; it asks the database in
its own thread, and commits what several senders write together (`database`). `recovery` settles what dead workers left,
`clock_ahead` what wrong clocks left; `doubts` makes a question of a mail whose answer was not its own.
"""
