"""Settings of reporting: OpenTelemetry traces and Sentry. Their packages are optional."""

from importlib.util import find_spec

from prx_email_site import environment as env


def _address(name: str, module: str, lock: str) -> str:
    """The variable's value. Raises SettingError if it is set and the needed packages are not installed."""
    address = env.text(name)
    if address and find_spec(module) is None:
        raise env.SettingError(
            f"{name} needs more packages: .venv/bin/python -m pip install --require-hashes -r {lock}"
        )
    return address


OTLP_ENDPOINT = _address("PRX_EMAIL_OTLP_ENDPOINT", "opentelemetry", "requirements-otel.lock").rstrip("/")
SENTRY_DSN = _address("PRX_EMAIL_SENTRY_DSN", "sentry_sdk", "requirements-sentry.lock")
