"""Pages of many mails: the outbox list, groups of failures, CSV files, actions on ticked rows or on all that match."""
