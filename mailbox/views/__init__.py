"""The pages of `accounts`, received mail (`reading`), quarantine, exports and the `activity`; what lists share.

Views are thin: they check the role (mailbox.permissions), read or write rows, and queue tasks. They open no connection.
"""
