"""manage.py prepare: everything to be done before web server and workers start, at each start and after an upgrade."""

import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.checks import Tags
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from mailbox.accounts import stored_secrets
from prx_email_site import catalogues, checks
from prx_email_site import environment as env
from prx_email_site.local_files import private_files
from prx_email_site.one_at_a_time import one_at_a_time


class Command(BaseCommand):
    help = "Compile languages, collect static files, migrate, and make the first administrator when there is none."

    def handle(self, *args: Any, **options: Any) -> None:
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
        with one_at_a_time(settings.DATA_DIR, self.stdout.write):
            self.close_the_data_folder()
            for trouble in catalogues.compile_new(settings.LOCALE_PATHS):
                self.stderr.write(trouble)
            call_command("collectstatic", interactive=False, verbosity=0)
            open_static_files_to_the_proxy()
            # call_command leaves out the checks that `migrate` makes of its database.
            self.check(tags=[Tags.database], databases=[DEFAULT_DB_ALIAS])
            call_command("migrate", interactive=False, verbosity=0)
            self.make_first_administrator()
        self.look_at_secrets()

    def look_at_secrets(self) -> None:
        """Warn of stored secrets that no key decrypts. The checks before this command ran before the migrations."""
        closed, total = stored_secrets.unopened()
        if closed:
            self.stderr.write(f"{checks.unopened_in_words(closed, total)} {checks.UNOPENED_HINT}")

    def close_the_data_folder(self) -> None:
        """Remove others' permissions in the data folder: an older version or a restore may have left readable files."""
        if left := private_files.close_to_others(settings.DATA_DIR):
            self.stderr.write(
                f"Others on this machine may read {left[0]} (one of {len(left)}), which belongs to another user. "
                f"Give it to this one (chown), and take the others' rights (chmod go=)."
            )

    def make_first_administrator(self) -> None:
        """Create an administrator if there is none: from PRX_EMAIL_ADMIN_USER and PRX_EMAIL_ADMIN_PASSWORD, else with
        the name admin and a password that is printed once. Raises CommandError."""
        if User.objects.filter(is_superuser=True, is_active=True).exists():
            return
        name, given = env.text("PRX_EMAIL_ADMIN_USER", "admin"), env.text("PRX_EMAIL_ADMIN_PASSWORD")
        if User.objects.filter(username=name).exists():
            raise CommandError(
                f"There is no administrator, and {name} is the name of somebody else. "
                f"Set PRX_EMAIL_ADMIN_USER to another name."
            )
        password = given or secrets.token_urlsafe(12)
        user = User(username=name, is_staff=True, is_superuser=True)
        try:
            user.full_clean(exclude=["password"])
            validate_password(password, user)
        except ValidationError as error:
            raise CommandError(
                "PRX_EMAIL_ADMIN_USER or PRX_EMAIL_ADMIN_PASSWORD cannot be used: " + " ".join(error.messages)
            ) from error
        user.set_password(password)
        user.save()
        user.groups.add(Group.objects.get(name="administrator"))
        self.stdout.write(f"First administrator: {name}")
        if not given:
            self.stdout.write(f"Password (shown this once): {password}")


def open_static_files_to_the_proxy() -> None:
    """Make static files readable for everybody if they are outside of the data folder: a proxy, which runs as another
    user, serves them there. Inside of it, the site serves them itself."""
    root = settings.STATIC_ROOT
    if root.is_relative_to(settings.DATA_DIR):
        return
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
