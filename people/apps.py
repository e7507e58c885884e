from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "people"
    verbose_name = "People"

    def ready(self) -> None:
        from allauth.account.signals import authentication_step_completed
        from django.contrib.auth.signals import user_logged_in, user_login_failed
        from django.core.checks import Tags, register

        from people import checks, second_factor, second_factor_log, second_factor_secrets, sign_in_log, step_up

        register(checks.trusted_proxies_are_named, Tags.security, deploy=True)
        register(checks.somebody_can_sign_in)
        register(checks.sign_on_is_whole)
        register(checks.groups_leave_somebody)
        user_logged_in.connect(sign_in_log.note_client, dispatch_uid="people.sign_in_log")
        authentication_step_completed.connect(step_up.note_proof, dispatch_uid="people.step_up")
        second_factor_secrets.make_known()
        second_factor_log.connect()
        second_factor.ask_with_roles()
        user_login_failed.connect(sign_in_log.record_failure, dispatch_uid="people.sign_in_log")
