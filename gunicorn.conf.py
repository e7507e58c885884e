"""gunicorn reads this file from the folder that it is started in. Its lines go out in the form of all others."""

logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"events": {"()": "mailbox.logs.EventFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "events"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "gunicorn.error": {"handlers": ["console"], "level": "INFO", "propagate": False},
        "gunicorn.access": {"handlers": ["console"], "level": "WARNING", "propagate": False},
    },
}
