"""The WSGI entry point that gunicorn loads."""

import os

from django.core.wsgi import get_wsgi_application

from prx_email_site import private_files

private_files.make_new_files_private()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "prx_email_site.settings")
_site = get_wsgi_application()

from mailbox.db.kept_connections import keep_connections  # noqa: E402 - settings first
from prx_email_site.slots import Slots, limit_statements  # noqa: E402 - settings first

keep_connections()
limit_statements()
application = Slots(_site)
