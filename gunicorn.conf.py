"""gunicorn's configuration, read from the folder in which it is started. Its logs have the format of all others."""

from typing import Any

from prx_email_site.logging_config import OF_GUNICORN, logging_config


def post_worker_init(worker: Any) -> None:
    """In each worker process: note regularly that the web server lives (by the master's pid), and save API counts."""
    from api import request_counts
    from mailbox import process_heartbeats

    worker.stop_noting = process_heartbeats.start_noting("web", pid=worker.ppid, also=[request_counts.flush])


def worker_exit(server: Any, worker: Any) -> None:
    """In a worker process that ends: the web server stops in order, or another worker notes it again."""
    from mailbox import process_heartbeats

    if stop_noting := getattr(worker, "stop_noting", None):
        stop_noting.set()
        process_heartbeats.forget("web", pid=worker.ppid)


logconfig_dict = logging_config("INFO", OF_GUNICORN)
