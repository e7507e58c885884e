"""A person by address: where it stands in everything that is stored, all of it as one file, and its erasure.

address     what counts as the address in a text, and what stands for it afterwards; pure
tables      each table: where a person may stand in it and what becomes of its rows, or why it is not looked into
decisions   what is to be done with a row; pure
walking     table by table in small batches, counting or erasing; killed, it goes on where it was
removal     how rows go, are emptied, or lose the address
exporting   what is found, as JSON and mail in a zip (mailbox.exports)
requests    asking, confirming, the signed report
tasks       what workers run
pages       the pages, for administrators of all accounts; `manage.py person` does the same
"""
