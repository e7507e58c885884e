"""Files on this host's disk: who may read them, temporary copies of mail, uploads.

private_files does not import Django: it runs before the settings are read.
"""
