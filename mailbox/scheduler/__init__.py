"""Decides which accounts are synced when, and keeps the report of each run.

Way in: `runner.run_sync`.
"""
