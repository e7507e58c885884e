"""Attachments of mail both ways: pages, and which of them a person may see."""
