"""Exports stored mail as one file: an mbox, or a zip of .eml files with a manifest. Workers write it piece by piece.

Ways in: `requests.begin` (start), `writing.run` (go on), `requests.pieces` (the file's bytes), `to_file.write`
(commands). `selection`: the mail of a search or list. `mails`: reads it page by page. `mbox` (RFC 4155, quoted as
mboxrd) and `zip_pieces` make the bytes and are pure. `manifest`: one line for each place of a mail.

`list_pages`: a list becomes a CSV file in the same way; `prx_email_site.list_exports` begins and reads it.

A piece is stored in the raw store under its SHA-256, as mail is, before the row that refers to it. So all hosts can
read it, backups include it, and the raw store's sweep removes it after the export has been deleted.
"""
