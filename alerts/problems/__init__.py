"""Finds the problems that need a person now, from existing rows; it keeps no state.

Way in: `find.find_problems(now)`. `find` itself looks at accounts and mail, `installation` at hosts, disks and
schedules, `expiries` at grants, secrets, certificates and keys. `alerts.incidents` stores the problems as incidents.
"""
