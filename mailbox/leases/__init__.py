"""Leases while they are held: `held_lease` takes one for an account and gives it back, `keep_alive` renews all of this
process. The rows are `mailbox.models.Lease`.
"""
