#!/usr/bin/env python
"""Django's command line, for this project's settings."""

import os
import sys

from prx_email_site.local_files import private_files

if __name__ == "__main__":
    private_files.make_new_files_private()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "prx_email_site.settings")
    try:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:  # Ctrl-C: the exit status of shells for SIGINT (128 + 2)
        sys.exit(130)
