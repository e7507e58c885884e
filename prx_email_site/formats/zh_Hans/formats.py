"""1,234.5 (CLDR, `zh`). Django's own does not group."""

DECIMAL_SEPARATOR = "."
THOUSAND_SEPARATOR = ","
NUMBER_GROUPING = 3
