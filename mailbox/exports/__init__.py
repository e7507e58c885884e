"""Stored mail as one file: an mbox, or a zip of .eml files, with a manifest. Made by workers piece by piece.

Ways in: `requests.begin`, `writing.run`, `reading`. `selection` says which mail of a search or list is meant; `mails`
hands it out page by page; `mbox` (RFC 4155, quoted as mboxrd) and `zip_pieces` make bytes of it and are pure;
`manifest` is what is said of each mail.

A piece is stored in the raw store under its SHA-256 as mail is, before the row that refers to it: so several hosts see
it, a backup has it, and the raw store's sweep removes it once the export is over.
"""
