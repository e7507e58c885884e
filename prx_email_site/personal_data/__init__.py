"""The data of a person, by e-mail address: finding it in all tables, exporting it as one file, and erasing it.

address     finding the address in texts, and its placeholder after an erasure; pure
tables      for each table, the columns that may contain the address and what to do with such rows, or why not searched
decisions   what is to be done with a row; pure
facts       the facts about rows that decisions need
walking     goes through the tables in small batches and counts or erases; can be killed and continued
removal     removes rows, empties them, or replaces the address in them
exporting   the data of a person as JSON and mail in a zip (mailbox.exports)
requests    beginning a search, confirming an erasure, the signed report
tasks       django-q2's entry points
schedules   when they run
words       the results of a search in words
pages       the pages, for administrators of all accounts; `manage.py person` does the same
api         the same over the HTTP API
"""
