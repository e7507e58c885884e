"""What needs a person at this moment, told from the rows that are there and without a state of its own.

Way in: `find_problems(now)`. It asks three modules: `find` itself about accounts and mail, `installation` about
hosts, disks and schedules, `expiries` about what expires. `alerts.incidents` keeps what is found as rows.
"""
