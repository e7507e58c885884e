"""Long lists as CSV files that workers make: the page that asks for one, and the tasks that write it
(mailbox.exports)."""
