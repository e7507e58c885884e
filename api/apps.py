from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "api"
    verbose_name = "API"

    def ready(self) -> None:
        from alerts.problems.endings import elsewhere
        from api.endings import endings

        elsewhere.append(endings)
