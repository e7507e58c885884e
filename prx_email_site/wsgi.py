"""The WSGI entry point that gunicorn loads."""

import os

from django.core.wsgi import get_wsgi_application

from prx_email_site.local_files import private_files

private_files.make_new_files_private()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "prx_email_site.settings")
_site = get_wsgi_application()

from mailbox.db.persistent_connections import make_connections_persistent  # noqa: E402 - settings first
from prx_email_site.request_limit import RequestLimit, limit_statements  # noqa: E402 - settings first

make_connections_persistent()
limit_statements()
application = RequestLimit(_site)
