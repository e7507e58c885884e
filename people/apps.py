from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "people"
    verbose_name = "People"

    def ready(self) -> None:
        from allauth.account.signals import authentication_step_completed
        from django.contrib.auth.signals import user_logged_in, user_login_failed
        from django.core.checks import Tags, register
        from django.db.models.signals import post_migrate

        from people import checks
        from people.links import mails
        from people.second_factor import audit as factor_audit
        from people.second_factor import requirement
        from people.second_factor import secrets as factor_secrets
        from people.sign_in import audit, step_up

        register(checks.trusted_proxies_are_named, Tags.security, deploy=True)
        register(checks.somebody_can_sign_in)
        register(checks.sign_on_is_whole)
        register(checks.groups_leave_somebody)
        user_logged_in.connect(audit.note_client, dispatch_uid="people.sign_in.audit")
        user_login_failed.connect(audit.record_failure, dispatch_uid="people.sign_in.audit")
        authentication_step_completed.connect(step_up.note_proof, dispatch_uid="people.sign_in.step_up")
        factor_secrets.make_known()
        factor_audit.connect()
        requirement.ask_with_roles()
        mails.make_known()
        from people import schedules  # imported here, when django-q2's models are loaded

        post_migrate.connect(schedules.make_schedules, sender=self, dispatch_uid="people.schedules")
