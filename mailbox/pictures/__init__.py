"""Remote images of a mail, shown from a copy on this site, and previews of attachments.

Ways in: `remote_images.ask` and `previews.ask` (for a page), `remote_images.fetch_images` and `previews.make` (on a
worker). The browser loads nothing from other sites.
"""
