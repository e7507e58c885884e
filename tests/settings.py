"""The project's settings, in a folder of their own and as fast as tests want them.

pytest-django reads settings before any conftest, so the folder is chosen here. A process that the tests start
(gunicorn, qcluster) finds it in the environment and shares it.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

FOLDER_VARIABLE = "PRX_EMAIL_TEST_FOLDER"

if FOLDER_VARIABLE not in os.environ:
    # The outermost process: whatever the person's shell says about the real installation is none of our business.
    for name in [name for name in os.environ if name.startswith("PRX_EMAIL_")]:
        del os.environ[name]
    os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="prx-email-tests-")
    atexit.register(shutil.rmtree, os.environ[FOLDER_VARIABLE], ignore_errors=True)

# pytest-xdist: each of its processes has its own raw store and database.
TEST_DATA_DIR = Path(os.environ[FOLDER_VARIABLE], os.environ.get("PYTEST_XDIST_WORKER", "main"))
TEST_DATA_DIR.mkdir(exist_ok=True, mode=0o700)
os.environ["PRX_EMAIL_DATA_DIR"] = str(TEST_DATA_DIR)

from prx_email_site import catalogues  # noqa: E402

# Before the settings, which look for compiled ones.
if faults := list(catalogues.compile_new([Path(__file__).resolve().parents[1] / "locale"])):
    raise RuntimeError("; ".join(faults))

from prx_email_site.settings import *  # noqa: E402, F403
from prx_email_site.settings import DATABASES, STORAGES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
OUTBOX_UNDO_SECONDS = 0  # what is queued is due; tests of undo say otherwise
OUTBOX_AHEAD_SECONDS = 0  # nobody waits for what is due later; tests of the wait say otherwise
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = True
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # No test cuts the power: everything as in production but the wait for the disk.
    DATABASES["default"]["OPTIONS"]["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
