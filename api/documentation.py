"""The page of the API's documentation, made from its OpenAPI schema without scripts and external resources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe

from api.v1.site import api


@dataclass(frozen=True)
class Field:
    """A parameter, or a field of the body. `kind`: its type as text, as in "integer, 1 to 500"."""

    name: str
    kind: str
    is_required: bool
    description: SafeString


@dataclass(frozen=True)
class DescribedOperation:
    """One operation of the schema. `description` is the docstring of its function, on one line."""

    name: str
    method: str
    path: str
    tag: str
    description: SafeString
    parameters: list[Field]
    body: list[Field]

    @property
    def broken_path(self) -> SafeString:
        """The path, which breaks before a slash where the line ends: else its last brace went to a line of its own."""
        return format_html_join(mark_safe("<wbr>"), "/{}", ((each,) for each in self.path.split("/")[1:]))


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """Those operations of one tag (`about`, else the first) in full, and all of them as a list that is folded away, as
    it is higher than a screen; for everybody who is signed in. All in full would be more than a page may weigh."""
    schema = api.get_openapi_schema()
    models = schema["components"]["schemas"]
    operations = [
        _operation(method, path, each, models)
        for path, methods in schema["paths"].items()
        for method, each in methods.items()
    ]
    tags = list(dict.fromkeys(each.tag for each in operations))
    groups = [(tag, [each for each in operations if each.tag == tag]) for tag in tags]
    about = request.GET.get("about", tags[0])
    if about not in tags:
        raise Http404
    shown = [each for each in operations if each.tag == about]
    context = {"groups": groups, "count": len(operations), "about": about, "shown": shown}
    context["base"] = request.build_absolute_uri("/")
    return render(request, "api/documentation.html", context)


def _operation(method: str, path: str, stated: dict[str, Any], models: dict[str, Any]) -> DescribedOperation:
    parameters = [
        Field(each["name"], _kind(each["schema"], models), each.get("required", False), _with_code(each))
        for each in stated.get("parameters", [])
    ]
    content = stated.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = list(_fields(content, models))
    name, tag = stated["operationId"], stated["tags"][0]
    return DescribedOperation(name, method.upper(), path, tag, _with_code(stated), parameters, body)


def _with_code(stated: dict[str, Any]) -> SafeString:
    """The description, with what stands between backticks as code: to the schema's readers it is Markdown."""
    parts = " ".join(stated.get("description", "").split()).split("`")
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", each) if at % 2 else each,) for at, each in enumerate(parts))
    )


def _fields(schema: dict[str, Any], models: dict[str, Any], within: str = "") -> Iterator[Field]:
    """The fields of a model; a nested model's fields have their full path as name: "imap.host"."""
    model = _model(schema, models)
    for name, each in model.get("properties", {}).items():
        if "properties" in _model(each, models):
            yield from _fields(each, models, f"{within}{name}.")
        else:
            is_required = name in model.get("required", [])
            yield Field(f"{within}{name}", _kind(each, models), is_required, _with_code(each))


def _model(schema: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    """The model that a schema refers to, or {} if it refers to none."""
    bare = schema["allOf"][0] if "allOf" in schema else schema
    found: dict[str, Any] = models.get(bare.get("$ref", "").rpartition("/")[2], {})
    return found


def _kind(schema: dict[str, Any], models: dict[str, Any]) -> str:
    """The type of a field as text: "integer, 1 to 500", "array of string"."""
    if "anyOf" in schema:
        return " / ".join(_kind(each, models) for each in schema["anyOf"])
    if model := _model(schema, models):
        return " / ".join(map(str, model["enum"])) if "enum" in model else str(model.get("title", ""))
    kind = str(schema.get("format") or schema.get("type", ""))
    if kind == "array":
        return f"array of {_kind(schema.get('items', {}), models)}"
    return f"{kind}, {schema['minimum']} to {schema['maximum']}" if schema.get("maximum", 2**63) < 10_000 else kind
