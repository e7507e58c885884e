"""What every page's frame shows: kept to constant cost, as it runs for each page."""

from typing import Any

from django.http import HttpRequest


def chrome(request: HttpRequest) -> dict[str, Any]:
    return {}
