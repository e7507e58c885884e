"""Run inside an installation, by Site.inside(): rows to send, the moment they are due, and what became of them."""
