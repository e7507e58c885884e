"""Behind a proxy that ends TLS: cookies that never travel in clear, forms from this site alone, no framework words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.servers.site import ROOT

ASK = """
import django, json
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("collectstatic", interactive=False, verbosity=0)
from django.contrib.auth.models import User
from django.test import Client
User.objects.create_superuser("vera", password="sesame-sesame")
client, https = Client(HTTP_HOST="mail.example.org", enforce_csrf_checks=True), {"HTTP_X_FORWARDED_PROTO": "https"}
plain = client.get("/login/")
page = client.get("/login/", **https)
typed = {"username": "vera", "password": "sesame-sesame", "csrfmiddlewaretoken": page.cookies["__Host-csrftoken"].value}
foreign = client.post("/login/", typed, HTTP_ORIGIN="https://evil.example", **https)
own = client.post("/login/", typed, HTTP_ORIGIN="https://mail.example.org", **https)
names = ("secure", "httponly", "samesite", "path", "domain")
cookies = {name: [each[part] for part in names] for name, each in own.cookies.items()}
probe = client.get("/health/ready/")
print(json.dumps({"plain": [plain.status_code, plain.headers.get("Location")], "foreign": foreign.status_code,
    "own": own.status_code, "cookies": cookies, "hsts": page.headers["Strict-Transport-Security"],
    "probe": probe.status_code}))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a site with an https address answers; settings are read once a process, so it gets one of its own."""
    folder: Path = tmp_path_factory.mktemp("https")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PRX_EMAIL_", "DATABASE_"))
    }
    environment |= {
        "DJANGO_SETTINGS_MODULE": "prx_email_site.settings",
        "PRX_EMAIL_BASE_URL": "https://mail.example.org",
        "PRX_EMAIL_DATA_DIR": str(folder),
    }
    asked = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )
    assert asked.returncode == 0, asked.stderr
    found: dict[str, Any] = json.loads(asked.stdout.splitlines()[-1])
    return found


def test_plain_http_leads_to_https_but_for_the_probes(answers: dict[str, Any]) -> None:
    assert answers["plain"] == [301, "https://mail.example.org/login/"]
    assert answers["probe"] == 200
    assert answers["hsts"] == "max-age=31536000", "nothing is said of other hosts of the domain"


def test_cookies_travel_by_https_only_and_the_session_is_out_of_reach_of_scripts(answers: dict[str, Any]) -> None:
    assert answers["cookies"]["__Host-sessionid"] == [True, True, "Lax", "/", ""]
    assert answers["cookies"]["__Host-csrftoken"][0] is True


def test_a_form_of_another_site_is_refused(answers: dict[str, Any]) -> None:
    assert (answers["foreign"], answers["own"]) == (403, 302)
