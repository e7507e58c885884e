"""How a language writes numbers where Django's own formats (django.conf.locale) leave them without groups, or write
them as only some of its countries do. FORMAT_MODULE_PATH of the settings names this package; the values are the CLDR's.
"""
