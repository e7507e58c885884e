"""The pages of accounts, received mail (`reading`), exports and activity.

Views are thin: they check the role (mailbox.permissions), read or write rows, and queue tasks. They open no connection.
"""
