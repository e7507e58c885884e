"""django-post_office with SQLite as this project has it, and all mails in one batch (its best case)."""

import os

SECRET_KEY = "not a secret"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "post_office"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["PEER_DATABASE"],
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }
}
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
EMAIL_BACKEND = "post_office.EmailBackend"
EMAIL_HOST, EMAIL_PORT = "localhost", int(os.environ["PEER_PORT"])
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = os.environ["PEER_USER"], os.environ["PEER_PASSWORD"]
EMAIL_USE_TLS = True
POST_OFFICE = {
    "BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"},
    "BATCH_SIZE": 100_000,
    "BATCH_DELIVERY_TIMEOUT": 3600,
    "THREADS_PER_PROCESS": int(os.environ["PEER_THREADS"]),
}
