from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "people"
    verbose_name = "People"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in, user_login_failed
        from django.core.checks import Tags, register

        from people import checks, sign_in_log

        register(checks.trusted_proxies_are_named, Tags.security, deploy=True)
        user_logged_in.connect(sign_in_log.note_client, dispatch_uid="people.sign_in_log")
        user_login_failed.connect(sign_in_log.record_failure, dispatch_uid="people.sign_in_log")
