"""peer.py SUBJECTS_FILE: queue the mails, then print the time when `send_queued` begins, and send. See outbox_peers."""

import json
import logging
import os
import sys
import time
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "peer_settings"

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from post_office import mail  # noqa: E402
from post_office.mail import send_queued  # noqa: E402

if __name__ == "__main__":
    logging.disable(logging.INFO)
    wanted = json.loads(Path(sys.argv[1]).read_text())
    call_command("migrate", verbosity=0)
    mail.send_many(
        [
            {"sender": wanted["sender"], "recipients": [to], "subject": subject, "message": wanted["text"]}
            for to, subject in wanted["mails"]
        ]
    )
    begin = time.monotonic()
    sent, failed, again = send_queued(processes=1)
    print(json.dumps({"begin": begin, "seconds": time.monotonic() - begin, "sent": sent, "lost": failed + again}))
