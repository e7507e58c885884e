"""Retention rules from the environment, for all accounts (docs/operations.md). None by default."""

from __future__ import annotations

from prx_email_site import environment as env

# The kinds and their least days, as in prx_email_site.retention.kinds (a test compares them).
LEAST_DAYS = {"received": 1, "sent": 30, "reports": 1, "activity": 30, "runs": 1, "drafts": 1, "incidents": 1}


def retention_days() -> dict[str, int]:
    """kind -> days, from KIND=DAYS separated by commas. Raises SettingError."""
    found = {}
    for what, days in env.pairs("PRX_EMAIL_RETENTION").items():
        least = LEAST_DAYS.get(what)
        if least is None or not days.isdecimal() or int(days) < least:
            raise env.SettingError(
                f"PRX_EMAIL_RETENTION must be KIND=DAYS, separated by commas, not {what}={days}: "
                f"of {', '.join(f'{name} (at least {least})' for name, least in LEAST_DAYS.items())}."
            )
        found[what] = int(days)
    return found
