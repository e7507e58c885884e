"""Turns untrusted HTML into HTML that may be shown: an allow-list of elements, attributes and CSS.

Way in: `sanitizer.safe_html`. The result is served at a URL of its own, in a sandboxed frame.
"""
