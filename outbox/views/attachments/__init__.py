"""Attachments of received and sent mail: their pages, and which of them a user may see."""
