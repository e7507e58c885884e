"""gunicorn reads this file from the folder that it is started in. Its lines go out in the form of all others."""

from prx_email_site.logging_config import OF_GUNICORN, logging_config

logconfig_dict = logging_config("INFO", OF_GUNICORN)
