"""Fills a database with any number of made-up rows, for measurements and for trying pages: `manage.py seed`."""
