"""Filters the inline styles of mail: an allow-list of CSS properties and values. Pure."""

from __future__ import annotations

import re

_SIDES = ("", "-top", "-right", "-bottom", "-left")
# Properties that arrange and colour text and tables. Left out: position, z-index, content, cursor, behavior,
# transforms, animations, custom properties, and everything that can load a resource or cover other parts of the page.
PROPERTIES = frozenset(
    {f"padding{side}" for side in _SIDES}
    | {f"margin{side}" for side in _SIDES}
    | {f"border{side}{part}" for side in _SIDES for part in ("", "-color", "-style", "-width")}
    | {
        "background",
        "background-color",
        "border-collapse",
        "border-radius",
        "border-spacing",
        "box-sizing",
        "caption-side",
        "clear",
        "color",
        "direction",
        "display",
        "empty-cells",
        "float",
        "font",
        "font-family",
        "font-size",
        "font-stretch",
        "font-style",
        "font-variant",
        "font-weight",
        "height",
        "letter-spacing",
        "line-height",
        "list-style",
        "list-style-position",
        "list-style-type",
        "max-height",
        "max-width",
        "min-height",
        "min-width",
        "opacity",
        "overflow",
        "overflow-wrap",
        "table-layout",
        "text-align",
        "text-decoration",
        "text-indent",
        "text-transform",
        "unicode-bidi",
        "vertical-align",
        "visibility",
        "white-space",
        "width",
        "word-break",
        "word-spacing",
        "word-wrap",
    }
)
_COMMENT = re.compile(r"/\*.*?(?:\*/|$)", re.S)
_FUNCTION = re.compile(r"(?<![a-z-])([a-z-]++)\s*+\(|\(", re.I)
_FUNCTIONS = frozenset({"rgb", "rgba", "hsl", "hsla"})
# No backslash, as CSS escapes can spell "url(" with other characters. No braces, angle brackets, semicolons, @.
_VALUE = re.compile(r"[\w\s#%.,()'\"!+/*-]{1,300}")
_PICTURE = re.compile(
    r"(?<![\w-])(?:url\(\s*+(?:\"[^\"]*+\"|'[^']*+'|[^()\"']*+)\s*+\)"
    r"|(?:(?:repeating-|(?!))?+(?:linear|radial|conic)-gradient|(?:-webkit-|(?!))?+image-set)\((?:[^()]|\([^()]*+\)|(?!))*+\))",
    re.I,
)
_NO_LAYERS = re.compile(r"\A[\s,]+|,\s*(?=,|\Z)")  # commas between background pictures that were removed
_MAX_STYLE = 10_000


def safe_style(style: str) -> str:
    """The allowed declarations of a style attribute (by property and by value); "" when none is left."""
    kept = []
    # Background pictures are removed before the split, as their URLs may contain semicolons; the colour stays.
    for declaration in _PICTURE.sub(" ", _COMMENT.sub(" ", style[:_MAX_STYLE])).split(";"):
        name, colon, value = declaration.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name == "background" and "," in value:
            value = _NO_LAYERS.sub("", value).strip()
        if colon and name in PROPERTIES and _is_safe_value(value):
            kept.append(f"{name}: {value}")
    return "; ".join(kept)


def _is_safe_value(value: str) -> bool:
    return (
        _VALUE.fullmatch(value) is not None
        and value.count("'") % 2 == 0
        and value.count('"') % 2 == 0
        and value.count("(") == value.count(")")
        and all(function.lower() in _FUNCTIONS for function in _FUNCTION.findall(value))
        and "expression" not in value.lower()
    )
