"""Finds the mail servers of an e-mail address: built-in providers, the domain's autoconfiguration, DNS, usual names.

Ways in: `lookup.ask` (creates a SettingsLookup row) and `lookup.run` (a worker does the look-up). This is the only
package that imports dnspython. RFC 6186 and 8314 (SRV records); Mozilla's autoconfiguration format.
"""
