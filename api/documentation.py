"""The API's documentation as a page of our own, from its schema: no script, and nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from api.v1.site import api


@dataclass(frozen=True)
class Field:
    name: str
    kind: str
    is_required: bool
    description: str


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str
    description: str
    parameters: list[Field]
    body: list[Field]


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    schema = api.get_openapi_schema()
    models = schema["components"]["schemas"]
    operations = [
        _operation(method, path, each, models)
        for path, methods in schema["paths"].items()
        for method, each in methods.items()
    ]
    return render(
        request, "api/documentation.html", {"operations": operations, "base": request.build_absolute_uri("/")}
    )


def _operation(method: str, path: str, stated: dict[str, Any], models: dict[str, Any]) -> Operation:
    parameters = [
        Field(each["name"], _kind(each["schema"]), each.get("required", False), each.get("description", ""))
        for each in stated.get("parameters", [])
    ]
    content = stated.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = list(_fields(content, models))
    words = " ".join(stated.get("description", "").split())
    return Operation(stated["operationId"], method.upper(), path, words, parameters, body)


def _fields(schema: dict[str, Any], models: dict[str, Any], within: str = "") -> Iterator[Field]:
    """The fields of a model; those of one within it by their whole path: "imap.host"."""
    model = models.get(schema.get("$ref", "").rpartition("/")[2], {})
    for name, each in model.get("properties", {}).items():
        inner = models.get(each.get("$ref", "").rpartition("/")[2], {})
        if "properties" in inner:
            yield from _fields(each, models, f"{within}{name}.")
        else:
            kind = " / ".join(map(str, inner["enum"])) if "enum" in inner else _kind(each)
            yield Field(f"{within}{name}", kind, name in model.get("required", []), each.get("description", ""))


def _kind(schema: dict[str, Any]) -> str:
    """As in the schema's own words: "integer, 1 to 500", "array of string"."""
    if "anyOf" in schema:
        return " / ".join(_kind(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    kind = str(schema.get("format") or schema.get("type", ""))
    if kind == "array":
        return f"array of {_kind(schema.get('items', {}))}"
    return f"{kind}, {schema['minimum']} to {schema['maximum']}" if schema.get("maximum", 2**63) < 10_000 else kind
