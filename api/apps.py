from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "api"
    verbose_name = "API"

    def ready(self) -> None:
        from alerts.problems.expiries import elsewhere
        from api.expiries import token_expiries

        elsewhere.append(token_expiries)
