"""Many mails at once: the tabs, their groups and files, actions on ticked rows or on all that match."""
