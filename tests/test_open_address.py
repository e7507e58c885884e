"""An address that other machines reach, with no proxy before it, is warned of: at the start and by check --deploy."""

from __future__ import annotations

import pytest

from prx_email_site import checks, launch


@pytest.mark.parametrize(
    ("bind", "base_url", "is_open"),
    [
        ("0.0.0.0:8000", "", True),
        ("[::]:8000", "http://mail.example.com", True),
        ("192.0.2.7:8000", "", True),
        ("mail.example.com:8000", "", True),
        ("0.0.0.0:8000", "https://mail.example.com", False),
        ("127.0.0.1:8000", "", False),
        ("[::1]:8000", "", False),
        ("localhost:8000", "", False),
    ],
)
def test_an_open_address_without_a_proxy_is_warned_of(
    bind: str, base_url: str, is_open: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRX_EMAIL_BIND", bind)
    monkeypatch.setenv("PRX_EMAIL_BASE_URL", base_url)
    found = checks.no_proxy_before_an_open_address()
    assert [each.id for each in found] == (["prx_email_site.W004"] if is_open else [])
    assert launch.is_open_in_plain_http(launch.BindAddress.parse(bind)) == is_open


def test_check_deploy_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.checks import run_checks

    monkeypatch.setenv("PRX_EMAIL_BIND", "0.0.0.0:8000")
    monkeypatch.delenv("PRX_EMAIL_BASE_URL", raising=False)
    assert "prx_email_site.W004" in [each.id for each in run_checks(tags=["security"], include_deployment_checks=True)]
    assert "prx_email_site.W004" not in [each.id for each in run_checks(tags=["security"])]
