"""Configuration of logging, for the site and for gunicorn (gunicorn.conf.py)."""

from __future__ import annotations

from typing import Any

from prx_email_site import environment as env

FORMATTERS = {"text": "mailbox.logs.EventFormatter", "json": "mailbox.logs.JsonFormatter"}


def logging_config(level: str, loggers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A dictionary for logging.config.dictConfig: one handler to stderr, one line for each event, as text or JSON.

    Raises SettingError.
    """
    form = env.one_of("PRX_EMAIL_LOG_FORMAT", tuple(FORMATTERS))
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"links": {"()": "mailbox.logs.WithoutLinks"}, "hosts": {"()": "mailbox.logs.HostNotAllowed"}},
        "formatters": {"events": {"()": FORMATTERS[form]}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "events"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": loggers,
    }


OF_THE_SITE: dict[str, dict[str, Any]] = {
    "django.request": {"filters": ["links"]},
    "django.server": {"filters": ["links"]},
    "django.security.csrf": {"filters": ["links"]},
    "django.security.DisallowedHost": {"filters": ["hosts"]},
    "mail.log": {"level": "CRITICAL"},  # aiosmtpd logs each command
    "django_q": {"level": "WARNING"},
    "axes": {"level": "ERROR"},  # people.sign_in.audit logs the same without the typed user names
    "django-q": {"handlers": ["console"], "level": "WARNING", "propagate": False},
    "imapclient": {"level": "WARNING"},  # at INFO it logs "Connection closed" for each session
}
OF_GUNICORN: dict[str, dict[str, Any]] = {
    "gunicorn.error": {"filters": ["links"], "handlers": ["console"], "level": "INFO", "propagate": False},
    "gunicorn.access": {"filters": ["links"], "handlers": ["console"], "level": "WARNING", "propagate": False},
}
