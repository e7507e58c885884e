"""Runs django-q2's cluster and ends it if it hangs, so that a service manager can restart it.

django-q2's processes share locks (`multiprocessing.Queue`, `Event`, `Value`). If a process is killed while it holds
one, all others wait for ever, and to a service manager they look alive. So the parent (`supervisor`) watches the
cluster by shared memory without locks (`shared_state`), and `stall_detection` decides:

- Every few seconds an empty task (`pulse`) takes the way of all tasks: pusher, worker, monitor. If none comes through
  although a worker is free, or if the sentinel is silent, the parent kills all processes and exits with status 75;
  `make run` or systemd starts the cluster again.
- A process that was stopped (SIGSTOP) and not continued is killed; django-q2 replaces it.
- Another process, in a session of its own (`observer`), watches the parent in the same way.
- SIGTERM stops the parent only, which then drains the cluster. Its children ignore SIGTERM, so a signal to the whole
  process group drains it too.

Way in: `manage.py qcluster`, which is `supervisor.Supervisor`.
"""
