"""Keeps text readable when the background that the mail meant for it is not shown. Pure.

Style sheets and background pictures are removed, so white text on a dark picture would become white on white. The text
colour and background of every element are computed from the markup; a text without enough contrast loses its own
colour or is given another.
"""

from __future__ import annotations

import re

from PIL import ImageColor

_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*+)((?:[^<>\"]++|\"[^\"<]*+\"|(?!))*+)>")
_STYLE = re.compile(r'\sstyle="([^"]*)"')
_ATTRIBUTE = re.compile(r'\s(bgcolor|color)="([^"]*)"')
_FUNCTION = re.compile(r"(?:rgb|hsl)a?\([^()]{1,60}\)|#[0-9a-f]{3,8}\b|[a-z]{3,20}", re.I)
_ALPHA = re.compile(
    r"(rgb|hsl)a?\(([^,/()]{1,20}+,[^,/()]{1,20}+,[^,/()]{1,20}+|[^,/()]{1,60}+)[,/]\s{0,9}+"
    r"(?:([01]?\.\d{1,9}|[01])|(\d{1,3})%)\s{0,9}+\)",
    re.I,
)
_BARE = re.compile(r"\A\s{0,9}([0-9a-f]{3}(?:[0-9a-f]{3})?)\s{0,9}\Z", re.I)  # without "#", allowed in attributes
_SEEN_THROUGH = 0.4  # opacity below which a background counts as transparent
_NO_TEXT = 0.15  # opacity below which text counts as invisible
_VOID = frozenset({"area", "br", "col", "hr", "img", "wbr"})
_LEAST = 1.35  # contrast of text and background (WCAG 2.2, contrast ratio) below which text is unreadable
_TEXT, _PAGE = "#1c1e21", "#ffffff"
_LIGHT_TEXT = "#ffffff"
_OF_OUR_SHEET = {"a": "#0b57d0", "blockquote": "#4a5160"}  # our own style sheet's colours: see sanitizer
_LEAST_OF_OURS = 3.0  # least contrast of elements in these colours
# System colours (CSS Color 4, 6.2) of a light page. Outlook writes "windowtext".
_SYSTEM = {
    **dict.fromkeys(("canvas", "window", "field", "buttonhighlight"), "#ffffff"),
    **dict.fromkeys(("canvastext", "windowtext", "fieldtext", "buttontext", "infotext", "menutext"), "#000000"),
}

Colour = tuple[int, int, int]
_NONE: Colour = (-1, -1, -1)


def colour_of(value: str) -> Colour | None:
    """The colour in a CSS value or an HTML attribute; None where it names none, or a nearly transparent one."""
    colour, opacity = _read(value)
    return colour if opacity >= _SEEN_THROUGH else None


def _read(value: str) -> tuple[Colour | None, float]:
    """(colour, opacity from 0 to 1) of a CSS value; the colour is None where it names none."""
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
    """`rgb(34 34 34)` (CSS Color 4) as `rgb(34,34,34)`, which Pillow reads. The opacity was cut off before."""
    name, _, values = function.rstrip(")").lower().replace("deg", "").partition("(")
    return f"{name}({','.join(values.replace(',', ' ').split())})"


def readable(markup: str, body_style: str = "") -> str:
    """The markup (Ammonia's output) with enough contrast in each element. `body_style`: the style of the page."""
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
    """The style of the page itself, with another text colour where the contrast is too low."""
    own = _declared(style)
    if own.get("color") == _NONE:
        return readable_page(_but_colour(style))
    text, background = own.get("color") or _rgb(_TEXT), own.get("background") or _rgb(_PAGE)
    if contrast(text, background) >= _LEAST:
        return style
    chosen = max((_TEXT, _LIGHT_TEXT), key=lambda each: contrast(_rgb(each), background))
    return f"{_but_colour(style)}; color: {chosen}".removeprefix("; ")


def _mended(name: str, attributes: str, text: Colour, background: Colour) -> tuple[str, Colour, Colour]:
    """The element's attributes, changed where necessary, and the text and background colours that result.

    `text`, `background`: the colours inherited from the elements around it.
    """
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
    """As _mended, for a link or quote without a colour of its own, which is shown in our style sheet's colour.

    Where that has too little contrast with the mail's background, it gets the colour of the text around it or, if that
    has too little too, a dark or light one.
    """
    ours = _rgb(_OF_OUR_SHEET[name])
    if contrast(ours, background) >= _LEAST_OF_OURS:
        return attributes, ours, background
    if contrast(text, background) < _LEAST_OF_OURS:
        text = max((_rgb(_TEXT), _rgb(_LIGHT_TEXT)), key=lambda each: contrast(each, background))
    return _with_colour(attributes, f"#{bytes(text).hex()}"), text, background


def _declared(style: str) -> dict[str, Colour | None]:
    """The `color` and `background` that the style declares. `color` is _NONE for invisible text."""
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
    """The contrast ratio of WCAG 2.2, from 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in (each / 255 for each in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
