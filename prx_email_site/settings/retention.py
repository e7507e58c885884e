"""Rules of retention that the environment makes, for all accounts (docs/operations.md). None by default."""

from __future__ import annotations

from prx_email_site import environment as env

# What may be named, and the fewest days: as the page has it (prx_email_site.retention.kinds; a test compares).
LEAST_DAYS = {"received": 1, "sent": 30, "reports": 1, "activity": 30, "runs": 1, "drafts": 1, "incidents": 1}


def retention_days() -> dict[str, int]:
    """From KIND=DAYS, separated by commas; raises SettingError."""
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
