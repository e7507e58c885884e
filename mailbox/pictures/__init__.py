"""Remote images of a mail, shown from our own copy, and previews of attachments.

Way in: `remote_images.fetch_images`, `previews.make`. Both run on a worker; the browser loads nothing from elsewhere.
"""
