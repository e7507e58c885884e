"""Digits are 0 to 9 in every language, and with these Arabic writes 1,234.5 (CLDR, `ar`, numbering system `latn`).
Django's own has the Maghreb's 1234,5."""

DECIMAL_SEPARATOR = "."
THOUSAND_SEPARATOR = ","
NUMBER_GROUPING = 3
