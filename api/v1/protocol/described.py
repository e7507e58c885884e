"""Refuses requests with parameters that the schema does not have: if a misspelt filter were ignored, an action would
apply to all rows instead of some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext
from ninja import NinjaAPI
from ninja.errors import HttpError
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from mailbox.views.requests import Refused

JSON = "application/json"
PLACES = ("query", "header")


@dataclass(frozen=True)
class Described:
    """The parameters of one operation, from the schema."""

    parameters: frozenset[str] = frozenset()  # names in the query string
    headers: frozenset[str] = frozenset()
    has_body: bool = False
    carries_mail: bool = False  # its body may be as large as the attachment policy makes a mail

    @classmethod
    def of(cls, operation: dict[str, Any]) -> Described:
        """From an OpenAPI operation object."""
        stated = operation.get("parameters", [])
        query, headers = (frozenset(each["name"] for each in stated if each["in"] == place) for place in PLACES)
        return cls(query, headers, "requestBody" in operation, bool(operation.get("x-carries-mail")))

    def refuse_other(self, request: HttpRequest) -> None:
        """Raise Refused for an unknown parameter or a useless If-Match, HttpError (415) for a body that is no JSON."""
        if unknown := sorted(set(request.GET) - self.parameters):
            words = gettext("There is no parameter “%(name)s” here: see /api/v1/openapi.json.")
            raise Refused(words % {"name": unknown[0][:40]})
        if "If-Match" in request.headers and request.method != "GET" and "If-Match" not in self.headers:
            raise Refused(gettext("Nothing here has an ETag that If-Match could be compared with: leave it out."))
        if self.has_body and request.body and request.content_type != JSON:
            raise HttpError(415, gettext("Send the body as %(type)s, and say so in Content-Type.") % {"type": JSON})


class EachAnswerOnce(OpenAPISchema):
    """The schema, for which each kind of answer is described once, and not anew for each operation and status that has
    it: a failure alone has some 1,500 places, and to describe it there took most of two seconds."""

    def __init__(self, api: NinjaAPI, path_prefix: str) -> None:
        self._answers: dict[Any, tuple[dict[str, Any], bool]] = {}
        super().__init__(api, path_prefix)

    def _create_schema_from_model(self, model: Any, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], bool]:
        if model.__name__ != "NinjaResponseSchema":  # ninja makes one for each place, with the kind as its only field
            return super()._create_schema_from_model(model, *args, **kwargs)
        key = (model.model_fields["response"].annotation, args, tuple(sorted(kwargs.items())))
        if key not in self._answers:
            self._answers[key] = super()._create_schema_from_model(model, *args, **kwargs)
        return self._answers[key]


class WithoutResponses(OpenAPISchema):
    """The schema without its responses, which take most of the time of a process's first request for it."""

    def responses(self, operation: Operation) -> dict[int, dict[str, Any]]:
        return {}


def by_route(schema: dict[str, Any]) -> dict[tuple[str, str], Described]:
    """The operations of a schema, by method and by path as in Django's resolver (`<pk>`), relative to /api/v1/."""
    return {
        (method.upper(), path.replace("{", "<").replace("}", ">")): Described.of(operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
