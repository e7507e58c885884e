"""gunicorn reads this file from the folder that it is started in. Its lines go out in the form of all others."""

from typing import Any

from prx_email_site.logging_config import OF_GUNICORN, logging_config


def post_worker_init(worker: Any) -> None:
    """Each of its processes says that the web server is there, by the pid of the first, and what the API was asked."""
    from api import request_counts
    from mailbox import presence

    presence.start_noting("web", pid=worker.ppid, also=[request_counts.flush])


logconfig_dict = logging_config("INFO", OF_GUNICORN)
