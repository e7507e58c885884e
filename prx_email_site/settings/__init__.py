"""All settings, read from the environment, with defaults that run on a laptop. See docs/operations.md."""

import base64
import secrets
import socket
import tomllib
from pathlib import Path

import mailbox
from prx_email_site import environment as env
from prx_email_site import languages
from prx_email_site.ehlo_name import ehlo_name
from prx_email_site.logging_config import OF_THE_SITE, logging_config
from prx_email_site.settings.broker import broker_address
from prx_email_site.settings.completeness import *  # noqa: F403
from prx_email_site.settings.database import database
from prx_email_site.settings.raw_store import backup_s3_server, raw_cache_bytes, raw_storage_of
from prx_email_site.settings.reporting import *  # noqa: F403
from prx_email_site.settings.retention import retention_days
from prx_email_site.settings.sign_in import *  # noqa: F403
from prx_email_site.settings.submission import submission as submission_ports

BASE_DIR = Path(__file__).resolve().parent.parent.parent

# The app `mailbox` has the name of a standard library module, which is imported if sys.path has another order.
if Path(mailbox.__file__ or "").resolve().parent != BASE_DIR / "mailbox":
    raise env.SettingError(
        "The standard library's `mailbox` was imported instead of this project's; run from its folder."
    )

RELEASE: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
DATA_DIR = Path(env.text("PRX_EMAIL_DATA_DIR", str(BASE_DIR / "var"))).resolve()
DEBUG = env.boolean("PRX_EMAIL_DEBUG", False)

# --- Keys -----------------------------------------------------------------------------------------------------
SECRET_KEY = env.text("PRX_EMAIL_SECRET_KEY") or env.kept_secret(DATA_DIR / "keys" / "secret_key")
# The first key encrypts, all of them decrypt (Fernet, https://github.com/fernet/spec).
ENCRYPTION_KEYS = env.words("PRX_EMAIL_ENCRYPTION_KEYS") or [
    env.kept_secret(
        DATA_DIR / "keys" / "encryption_key",
        value=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii"),
    )
]

# --- Address and HTTPS ----------------------------------------------------------------------------------------
_base = env.site_address("PRX_EMAIL_BASE_URL", "http://127.0.0.1:8000")
BASE_URL = _base.geturl()
ALLOWED_HOSTS = env.hosts(
    env.words("PRX_EMAIL_ALLOWED_HOSTS") or sorted({_base.hostname or "", "127.0.0.1", "localhost"})
)
CSRF_TRUSTED_ORIGINS = [f"{_base.scheme}://{_base.netloc}"]
HTTPS = _base.scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
if HTTPS:
    # Browsers accept __Host- cookies only from this host itself, by https and for the path / (RFC 6265bis 4.1.3).
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health/"]  # a probe inside the network speaks plain HTTP
SECURE_HSTS_SECONDS = env.integer("PRX_EMAIL_HSTS_SECONDS", 31_536_000 if HTTPS else 0)
# Off by default: other hosts of the domain may lack https, and leaving a preload list is hard. The owner must decide.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.boolean("PRX_EMAIL_HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = env.boolean("PRX_EMAIL_HSTS_PRELOAD", False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # the two settings above are off on purpose
if HTTPS:
    # For a proxy that terminates TLS. It must set this header itself, whatever the client sent (docs/operations.md).
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# --- Django ---------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "prx_email_site.apps.SiteConfig",
    "prx_email_site.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",  # for `clearsessions`; the table is that of `people`
    "axes",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_prose_editor",  # static files only: the editor of formatted text
    "heroicons",
    "django_q",
    "mailbox",
    "outbox",
    "alerts",
    "people",
    "api",
]
MIDDLEWARE = [
    "prx_email_site.monitoring.request_id.RequestIdMiddleware",
    "prx_email_site.middleware.ProbeMiddleware",
    "prx_email_site.unread_body.UnreadBodyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "prx_email_site.middleware.ContentSecurityPolicyMiddleware",
    "prx_email_site.middleware.SignedOutPollMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "people.sessions.expiry.SessionEndMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "people.second_factor.middleware.SecondFactorMiddleware",
    "people.sign_in.step_up.StepUpMiddleware",
    "prx_email_site.middleware.LanguageMiddleware",
    "prx_email_site.middleware.TimeZoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "prx_email_site.middleware.BusyMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "axes.middleware.AxesMiddleware",
]
if OTLP_ENDPOINT:  # noqa: F405 - its packages are loaded only then
    MIDDLEWARE.insert(1, "prx_email_site.monitoring.request_traces.RequestTracesMiddleware")
ROOT_URLCONF = "prx_email_site.urls"
WSGI_APPLICATION = "prx_email_site.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["django.templatetags.i18n"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "prx_email_site.context_processors.chrome",
            ],
        },
    }
]
CSRF_FAILURE_VIEW = "prx_email_site.error_pages.csrf_failure"
LANGUAGE_CODE = "en"
# English, and each language with a compiled catalogue, of this release or the operator's own (docs/translating.md).
LOCALE_PATHS = [BASE_DIR / "locale", Path(env.text("PRX_EMAIL_LOCALE_DIR", str(DATA_DIR / "locale")))]
LANGUAGES = languages.found_in(LOCALE_PATHS)
# Numbers are grouped one by one (mailbox.localized), never by USE_THOUSAND_SEPARATOR: a template writes numbers into
# addresses and form values, too, where a separator makes another value of them.
FORMAT_MODULE_PATH = "prx_email_site.formats"
USE_THOUSAND_SEPARATOR = False
TIME_ZONE = env.text("PRX_EMAIL_TIME_ZONE", "UTC")
USE_TZ = USE_I18N = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# --- Database -------------------------------------------------------------------------------------------------
DATABASE_LOCK_SECONDS = env.integer("PRX_EMAIL_DATABASE_LOCK_SECONDS", 10)  # PostgreSQL's lock_timeout; 0: no limit
DATABASE_ANSWER_SECONDS = env.integer("PRX_EMAIL_DATABASE_ANSWER_SECONDS", 5, minimum=2)
# PostgreSQL's statement_timeout for pages; statements of workers have no limit. 0: no limit.
PAGE_STATEMENT_SECONDS = env.integer("PRX_EMAIL_PAGE_STATEMENT_SECONDS", 30)
# "transaction": a pooler (PgBouncer) stands before PostgreSQL and gives each transaction whichever session is free.
DATABASE_POOLING = env.one_of("PRX_EMAIL_DATABASE_POOLING", ("session", "transaction"))
DATABASES = {
    "default": database(DATA_DIR, DATABASE_LOCK_SECONDS, DATABASE_ANSWER_SECONDS, pooling=DATABASE_POOLING),
}

# --- Files ----------------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = Path(env.text("PRX_EMAIL_STATIC_ROOT", str(DATA_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "prx_email_site" / "static"]
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": DATA_DIR / "media"},
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    "raw": raw_storage_of(DATA_DIR),
}
RAW_CACHE_BYTES = raw_cache_bytes()
BACKUP_S3 = backup_s3_server()
FILE_UPLOAD_PERMISSIONS, FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o600, 0o700  # Django's default lets others read files
# Uploads above this size are kept in a temporary file instead of in memory.
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_HANDLERS = [
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "prx_email_site.local_files.uploads.UnnamedFileUploadHandler",
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024

# --- Limits of this project (units in the names) --------------------------------------------------------------
SYNC_MAX_CONCURRENCY = env.integer("PRX_EMAIL_SYNC_MAX_CONCURRENCY", 4, minimum=1)
SYNC_BASE_BACKOFF_SECONDS = env.integer("PRX_EMAIL_SYNC_BASE_BACKOFF_SECONDS", 10, minimum=1)
SYNC_MAX_BACKOFF_SECONDS = env.integer("PRX_EMAIL_SYNC_MAX_BACKOFF_SECONDS", 300, minimum=1)
SYNC_MAX_MESSAGES = env.integer("PRX_EMAIL_SYNC_MAX_MESSAGES", 100, minimum=1)
SYNC_TICK_SECONDS = env.integer("PRX_EMAIL_SYNC_TICK_SECONDS", 50, minimum=1)
SYNC_PUSHED_SECONDS = env.integer("PRX_EMAIL_SYNC_PUSHED_SECONDS", 600, minimum=60)
# Whether a push process (manage.py idle) should run: `make run` starts it, and the dashboard reports its absence.
PUSH_ENABLED = env.boolean("PRX_EMAIL_PUSH", True)
PUSH_CONNECTIONS = env.integer("PRX_EMAIL_PUSH_CONNECTIONS", 1000, minimum=1)  # of one process
# The largest message that is fetched automatically, and the largest at a person's request. Large providers accept up to
# 150 MB.
MAX_MESSAGE_BYTES = env.integer("PRX_EMAIL_MAX_MESSAGE_BYTES", 100 * 1024 * 1024, minimum=1024)
FETCH_NOW_MAX_BYTES = max(
    env.integer("PRX_EMAIL_FETCH_NOW_MAX_BYTES", 150 * 1024 * 1024, minimum=1024), MAX_MESSAGE_BYTES
)
# With less free disk space nothing is fetched; sending continues. 0: fetch until the disk is full.
DISK_RESERVE_BYTES = 1024 * 1024 * env.integer("PRX_EMAIL_DISK_RESERVE_MB", 512)
RETENTION_DAYS = retention_days()
EXPUNGED_GRACE_DAYS = env.integer("PRX_EMAIL_EXPUNGED_GRACE_DAYS", 30)
CONNECT_TIMEOUT_SECONDS = env.integer("PRX_EMAIL_CONNECT_TIMEOUT_SECONDS", 10, minimum=1)
COMMAND_TIMEOUT_SECONDS = env.integer("PRX_EMAIL_COMMAND_TIMEOUT_SECONDS", 60, minimum=1)
FINAL_DOT_TIMEOUT_SECONDS = env.integer("PRX_EMAIL_FINAL_DOT_TIMEOUT_SECONDS", 600, minimum=1)
# How many workers of a host deliver at once (by default one is left for other tasks), and how many accounts each of
# them serves at once, not counting those whose servers keep a session waiting.
_workers = env.integer("PRX_EMAIL_WORKERS", 4, minimum=1)
OUTBOX_COURIERS = env.integer("PRX_EMAIL_OUTBOX_COURIERS", max(1, min(3, _workers - 1)), minimum=1)
OUTBOX_SESSIONS = env.integer("PRX_EMAIL_OUTBOX_SESSIONS", 8, minimum=1)
# A worker waits for mail that becomes due within this time, as sweeps run every half minute; only if another worker is
# left for other tasks.
OUTBOX_AHEAD_SECONDS = 35 if _workers > OUTBOX_COURIERS else 0
EHLO_NAME = ehlo_name(env.text("PRX_EMAIL_EHLO_NAME", ""), _base.hostname or "", socket.gethostname())
SUBMISSION = submission_ports(EHLO_NAME)
OUTBOX_BASE_BACKOFF_SECONDS = env.integer("PRX_EMAIL_OUTBOX_BASE_BACKOFF_SECONDS", 5, minimum=1)
OUTBOX_GIVE_UP_DAYS = env.integer("PRX_EMAIL_OUTBOX_GIVE_UP_DAYS", 5, minimum=1)
# The undo window of mail written in the browser; 0: none.
OUTBOX_UNDO_SECONDS = env.integer("PRX_EMAIL_OUTBOX_UNDO_SECONDS", 10)
DEFAULT_MESSAGE_ID_DOMAIN = "prx-email.local"
MESSAGE_ID_DOMAIN = env.text("PRX_EMAIL_MESSAGE_ID_DOMAIN", DEFAULT_MESSAGE_ID_DOMAIN)
NETWORK = env.boolean("PRX_EMAIL_NETWORK", True)  # False: no connection leaves this site; see mailbox.network
# Webhooks of alerts: only https to public Internet addresses, unless these allow more.
WEBHOOK_ALLOW_HTTP = env.boolean("PRX_EMAIL_WEBHOOK_ALLOW_HTTP", False)
WEBHOOK_ALLOW_PRIVATE = env.boolean("PRX_EMAIL_WEBHOOK_ALLOW_PRIVATE", False)
# The look-up of an address's mail servers queries hosts on the public Internet only, unless this allows more.
LOOKUP_ALLOW_PRIVATE = env.boolean("PRX_EMAIL_LOOKUP_ALLOW_PRIVATE", False)
# OAuth providers: only https to public Internet addresses, unless these allow more (for a company's own provider).
OAUTH_ALLOW_HTTP = env.boolean("PRX_EMAIL_OAUTH_ALLOW_HTTP", False)
OAUTH_ALLOW_PRIVATE = env.boolean("PRX_EMAIL_OAUTH_ALLOW_PRIVATE", False)
# provider -> (client id, client secret) from the environment; they have priority over stored ones.
_oauth_clients = {
    "google": (env.text("PRX_EMAIL_OAUTH_GOOGLE_CLIENT_ID"), env.text("PRX_EMAIL_OAUTH_GOOGLE_CLIENT_SECRET")),
    "microsoft": (env.text("PRX_EMAIL_OAUTH_MICROSOFT_CLIENT_ID"), env.text("PRX_EMAIL_OAUTH_MICROSOFT_CLIENT_SECRET")),
    "yahoo": (env.text("PRX_EMAIL_OAUTH_YAHOO_CLIENT_ID"), env.text("PRX_EMAIL_OAUTH_YAHOO_CLIENT_SECRET")),
}
OAUTH_CLIENTS = {provider: client for provider, client in _oauth_clients.items() if client[0]}
# The dotted name of a class that renews access tokens (docs/oauth.md); "": none.
OAUTH_REFRESH_PROVIDER = env.text("PRX_EMAIL_OAUTH_REFRESH_PROVIDER")
# Whether everybody may choose mail servers that are not on the public Internet; else administrators of all accounts.
ACCOUNT_ALLOW_PRIVATE = env.boolean("PRX_EMAIL_ACCOUNT_ALLOW_PRIVATE", False)
ATTACHMENT_MAX_SIZE_BYTES = env.integer("PRX_EMAIL_ATTACHMENT_MAX_SIZE_BYTES", 25 * 1024 * 1024, minimum=1)
ATTACHMENT_ALLOWED_CONTENT_TYPES = env.words(
    "PRX_EMAIL_ATTACHMENT_ALLOWED_CONTENT_TYPES",
    "application/pdf,image/jpeg,image/png,text/plain,application/zip",
)
ATTACHMENT_STORE_ENABLED = env.boolean("PRX_EMAIL_ATTACHMENT_STORE_ENABLED", False)
ATTACHMENT_STORE_DIR = Path(env.text("PRX_EMAIL_ATTACHMENT_STORE_DIR", str(DATA_DIR / "attachments")))

# --- Workers: django-q2 is a clock and a process pool; the truth is in our tables -----------------------------
# A task's time-out is longer than the longest wait of a task: for the reply to the final dot. django-q2 counts the time
# until a retry from the prefetch of a task, so the queue is short and that time is a multiple of the time-out.
TASK_TIMEOUT_SECONDS = FINAL_DOT_TIMEOUT_SECONDS + 5 * COMMAND_TIMEOUT_SECONDS
# A cluster that is silent for longer is ended; `make run` or systemd starts it again (see prx_email_site.workers).
CLUSTER_SILENT_SECONDS = env.integer("PRX_EMAIL_CLUSTER_SILENT_SECONDS", 45, minimum=3)
BROKER_URL = broker_address(env.text("PRX_EMAIL_BROKER_URL"))
Q_CLUSTER = {
    "name": "prx-email",
    "workers": env.integer("PRX_EMAIL_WORKERS", 4, minimum=1),
    "timeout": TASK_TIMEOUT_SECONDS,
    "retry": 4 * TASK_TIMEOUT_SECONDS,
    "queue_limit": 1,  # what waits here while all workers are busy is not taken by another host's free worker
    "bulk": 1,
    "poll": 0.05,  # seconds; the longest wait of a click for a free worker
    "ack_failures": True,
    "max_attempts": 1,
    "catch_up": False,
    "save_limit": 200,
    "recycle": 500,
    "label": "Workers",
    "orm": "default",  # with Redis as broker too: the database has the queue while Redis is unavailable
    "broker_class": f"prx_email_site.broker.{'RedisBroker' if BROKER_URL else 'Broker'}",
    **({"redis": BROKER_URL} if BROKER_URL else {}),
}

# --- Monitoring: access to /metrics ---------------------------------------------------------------------------
METRICS_TOKEN = env.text("PRX_EMAIL_METRICS_TOKEN")
METRICS_NETWORKS = env.networks("PRX_EMAIL_METRICS_NETWORKS")

# --- Logs -----------------------------------------------------------------------------------------------------
LOGGING = logging_config(env.text("PRX_EMAIL_LOG_LEVEL", "INFO"), OF_THE_SITE)
