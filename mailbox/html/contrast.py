"""Keeps text readable where the style sheet or picture behind it is not shown. Pure.

White text on a dark picture would be white on white. What a colour does not reach is seen from the markup alone, so
every element's text and background are followed, and a text that is too near its background loses its colour, or is
given one.
"""

from __future__ import annotations

import re

from PIL import ImageColor

_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*+)((?:[^<>\"]++|\"[^\"<]*+\")*+)>")
_STYLE = re.compile(r'\sstyle="([^"]*)"')
_ATTRIBUTE = re.compile(r'\s(bgcolor|color)="([^"]*)"')
_FUNCTION = re.compile(r"(?:rgb|hsl)a?\([^()]{1,60}\)|#[0-9a-f]{3,8}\b|[a-z]{3,20}", re.I)
_ALPHA = re.compile(
    r"(rgb|hsl)a?\(([^,/()]{1,20}+,[^,/()]{1,20}+,[^,/()]{1,20}+|[^,/()]{1,60}+)[,/]\s{0,9}+"
    r"(?:([01]?\.\d{1,9}|[01])|(\d{1,3})%)\s{0,9}+\)",
    re.I,
)
_BARE = re.compile(r"\A\s{0,9}([0-9a-f]{3}(?:[0-9a-f]{3})?)\s{0,9}\Z", re.I)  # as HTML's attributes have them, too
_SEEN_THROUGH = 0.4  # opacity below which the colour behind is what is seen
_NO_TEXT = 0.15  # and below which text is not
_VOID = frozenset({"area", "br", "col", "hr", "img", "wbr"})
_LEAST = 1.35  # contrast of text and background (WCAG 2.2, relative luminance): below, nothing can be read
_TEXT, _PAGE = "#1c1e21", "#ffffff"
_LIGHT_TEXT = "#ffffff"
_OF_OUR_SHEET = {"a": "#0b57d0", "blockquote": "#4a5160"}  # that say no colour of their own: see sanitizer
_LEAST_OF_OURS = 3.0  # contrast of what the mail has not coloured
# CSS Color 4, 6.2, on a light page. Outlook writes "windowtext".
_SYSTEM = {
    **dict.fromkeys(("canvas", "window", "field", "buttonhighlight"), "#ffffff"),
    **dict.fromkeys(("canvastext", "windowtext", "fieldtext", "buttontext", "infotext", "menutext"), "#000000"),
}

Colour = tuple[int, int, int]
_NONE: Colour = (-1, -1, -1)


def colour_of(value: str) -> Colour | None:
    """The colour in a CSS value or an HTML attribute; None where it names none, or one that is seen through."""
    colour, opacity = _read(value)
    return colour if opacity >= _SEEN_THROUGH else None


def _read(value: str) -> tuple[Colour | None, float]:
    """The colour, and its opacity."""
    for word in _FUNCTION.findall(value[:300]):
        if word.lower() in ("inherit", "initial", "currentcolor"):
            return None, 1
        if word.lower() == "transparent":
            return None, 0
        opacity = 1.0
        if alpha := _ALPHA.fullmatch(word):
            opacity = float(alpha[3]) if alpha[3] else int(alpha[4]) / 100
            word = f"{alpha[1]}({alpha[2]})"
        try:
            colour = ImageColor.getrgb(_with_commas(word) if "(" in word else _SYSTEM.get(word.lower(), word))
        except ValueError:
            continue
        return colour[:3], opacity if len(colour) == 3 else colour[3] / 255
    return None, 1


def _with_commas(function: str) -> str:
    """`rgb(34 34 34)` as Pillow knows it (CSS Color 4 has blanks for the commas), without an opacity behind a slash."""
    name, _, values = function.rstrip(")").lower().replace("deg", "").partition("(")
    return f"{name}({','.join(values.replace(',', ' ').split())})"


def readable(markup: str, body_style: str = "") -> str:
    """Ammonia's HTML, with each text far enough from its background to be read. `body_style`: the page's own."""
    if "color" not in markup and "background" not in markup and "color" not in body_style:
        return markup
    page = _declared(body_style)
    stack = [("body", page.get("color") or _rgb(_TEXT), page.get("background") or _rgb(_PAGE))]
    written: list[str] = []
    position = 0
    for tag in _TAG.finditer(markup):
        name = tag[2]
        if tag[1]:
            if len(stack) > 1 and stack[-1][0] == name:
                stack.pop()
            continue
        _, text, background = stack[-1]
        if "color" in tag[3] or "background" in tag[3] or name in _OF_OUR_SHEET:
            attributes, text, background = _mended(name, tag[3], text, background)
            if attributes != tag[3]:
                written += (markup[position : tag.start()], f"<{name}{attributes}>")
                position = tag.end()
        if name not in _VOID:
            stack.append((name, text, background))
    return "".join((*written, markup[position:]))


def readable_page(style: str) -> str:
    """The style of the page itself, with a text colour where its background is too near ours."""
    own = _declared(style)
    if own.get("color") == _NONE:
        return readable_page(_but_colour(style))
    text, background = own.get("color") or _rgb(_TEXT), own.get("background") or _rgb(_PAGE)
    if contrast(text, background) >= _LEAST:
        return style
    chosen = max((_TEXT, _LIGHT_TEXT), key=lambda each: contrast(_rgb(each), background))
    return f"{_but_colour(style)}; color: {chosen}".removeprefix("; ")


def _mended(name: str, attributes: str, text: Colour, background: Colour) -> tuple[str, Colour, Colour]:
    """The attributes of an element within such a text and background, and those that it has."""
    style = _STYLE.search(attributes)
    own = {
        "background" if each == "bgcolor" else each: colour_of(_BARE.sub(r"#\1", value))
        for each, value in _ATTRIBUTE.findall(attributes)
    }
    own |= _declared(style[1] if style else "")
    now_background = own.get("background") or background
    if name in _OF_OUR_SHEET and "color" not in own:
        return _uncoloured(name, attributes, text, now_background)
    now_text = now_background if own.get("color") == _NONE else own.get("color") or text
    if contrast(now_text, now_background) >= _LEAST:
        return attributes, now_text, now_background
    if own.get("color"):
        attributes = _without_colour(attributes)
        now_text = text
    if contrast(now_text, now_background) < _LEAST:
        chosen = max((_TEXT, _LIGHT_TEXT), key=lambda each: contrast(_rgb(each), now_background))
        attributes, now_text = _with_colour(attributes, chosen), _rgb(chosen)
    return attributes, now_text, now_background


def _uncoloured(name: str, attributes: str, text: Colour, background: Colour) -> tuple[str, Colour, Colour]:
    """A link or a quote that has our sheet's colour: on a background of the mail's that is too near, that of the text
    around it, else light or dark."""
    ours = _rgb(_OF_OUR_SHEET[name])
    if contrast(ours, background) >= _LEAST_OF_OURS:
        return attributes, ours, background
    if contrast(text, background) < _LEAST_OF_OURS:
        text = max((_rgb(_TEXT), _rgb(_LIGHT_TEXT)), key=lambda each: contrast(each, background))
    return _with_colour(attributes, f"#{bytes(text).hex()}"), text, background


def _declared(style: str) -> dict[str, Colour | None]:
    """`color` and `background`, where the style says them; _NONE for text that nobody sees."""
    found: dict[str, Colour | None] = {}
    for declaration in style.split(";"):
        name, _, value = declaration.partition(":")
        name = name.strip().lower()
        if name == "color" or name in ("background", "background-color"):
            colour, opacity = _read(value)
            if name == "color":
                found["color"] = colour if opacity >= _NO_TEXT else _NONE
            else:
                found["background"] = colour if opacity >= _SEEN_THROUGH else None
    return found


def _without_colour(attributes: str) -> str:
    kept = re.sub(r'\scolor="[^"]*"', "", attributes)
    return _STYLE.sub(lambda style: f' style="{left}"' if (left := _but_colour(style[1])) else "", kept)


def _but_colour(style: str) -> str:
    return ";".join(each for each in style.split(";") if each.partition(":")[0].strip().lower() != "color").strip()


def _with_colour(attributes: str, colour: str) -> str:
    style = _STYLE.search(attributes)
    if style is None:
        return f'{attributes} style="color: {colour}"'
    joined = f"{style[1]}; color: {colour}" if style[1].strip() else f"color: {colour}"
    return f'{attributes[: style.start()]} style="{joined}"{attributes[style.end() :]}'


def _rgb(value: str) -> Colour:
    red, green, blue = ImageColor.getrgb(value)[:3]
    return red, green, blue


def contrast(one: Colour, other: Colour) -> float:
    """WCAG 2.2's contrast ratio, 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in (each / 255 for each in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
