"""Settings of the nightly comparison of stored mail with its servers (docs/operations.md)."""

from __future__ import annotations

from prx_email_site import environment as env

COMPLETENESS_HOUR = env.integer("PRX_EMAIL_COMPLETENESS_HOUR", 3)
COMPLETENESS_SAMPLE = env.integer("PRX_EMAIL_COMPLETENESS_SAMPLE", 50, minimum=0)
if COMPLETENESS_HOUR > 23:
    raise env.SettingError(f"PRX_EMAIL_COMPLETENESS_HOUR must be 0 to 23, not {COMPLETENESS_HOUR}.")
