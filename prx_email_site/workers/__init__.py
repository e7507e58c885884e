"""Runs django-q2's cluster so that it works or ends, whatever is killed in it.

django-q2's processes share locks (`multiprocessing.Queue`, `Event`, `Value`). A process that is killed while it holds
one leaves all others waiting for ever, alive for every service manager. So the parent (`supervisor`) watches from
outside, by shared memory without locks (`shared_state`); `stall_detection` decides:

- each few seconds a task without content (`pulse`) goes the way of all tasks: pusher, worker, monitor. When none comes
  through although a worker is free, or the sentinel is silent, the parent kills everything and exits with status 75;
  `make run` or systemd starts it again.
- a process that was stopped (SIGSTOP) and not continued is killed; django-q2 replaces it.
- a second process in a session of its own (`observer`) does the same for the parent.
- SIGTERM asks the parent alone: its children ignore it, so that a signal to the whole group drains, too.

Way in: `manage.py qcluster`, which is `supervisor.Supervisor`.
"""
