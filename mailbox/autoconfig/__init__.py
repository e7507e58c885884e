"""Finds the mail servers of an address: known providers, the domain's autoconfiguration, DNS, usual names.

Way in: `lookup.run` (by a worker, for a SettingsLookup row). The only package that knows dnspython.

RFC 6186 and 8314 (SRV records), Mozilla's autoconfiguration format.
"""
