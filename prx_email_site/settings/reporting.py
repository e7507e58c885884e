"""Where traces and errors are reported to, each by packages that an installation without it does not have."""

from importlib.util import find_spec

from prx_email_site import environment as env


def _address(name: str, module: str, lock: str) -> str:
    """Raises SettingError where it is set and its packages are not there."""
    address = env.text(name)
    if address and find_spec(module) is None:
        raise env.SettingError(
            f"{name} needs more packages: .venv/bin/python -m pip install --require-hashes -r {lock}"
        )
    return address


OTLP_ENDPOINT = _address("PRX_EMAIL_OTLP_ENDPOINT", "opentelemetry", "requirements-otel.lock").rstrip("/")
SENTRY_DSN = _address("PRX_EMAIL_SENTRY_DSN", "sentry_sdk", "requirements-sentry.lock")
