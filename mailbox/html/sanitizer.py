"""Turns untrusted HTML into a document that looks like the mail, loads nothing and runs nothing. Pure.

Three layers of defence: Ammonia (nh3) allows only known tags and attributes, the filters here allow only known values,
and FRAME_CSP with its sandbox stops what both may have missed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

import nh3
from django.utils.translation import gettext

from mailbox.html.addresses import SCHEME, STRIPPED, base_address, joined, safe_link
from mailbox.html.breaks import with_breaks
from mailbox.html.contrast import readable, readable_page
from mailbox.html.css import safe_style
from mailbox.html.images import ImageRoom
from mailbox.html.limits import MAX_HTML, bounded, cut, escaped

FRAME_CSP = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
# For the hidden frame whose height static/js/frame.js measures. Measuring needs our origin, so this frame may open no
# links; like the other it runs no scripts.
MEASURED_CSP = FRAME_CSP.replace("sandbox allow-popups allow-popups-to-escape-sandbox;", "sandbox allow-same-origin;")

_BLOCKS = """
    address article aside blockquote br center caption col colgroup dd details div dl dt figcaption figure footer h1 h2
    h3 h4 h5 h6 header hr li main nav ol p pre section summary table tbody td tfoot th thead tr ul wbr
"""
_INLINES = """
    a abbr acronym b bdi bdo big cite code del dfn em font i img ins kbd mark q s samp small span strike strong sub sup
    time tt u var
"""
_UNSHOWN = """
    applet audio canvas embed frame frameset iframe math noembed noframes noscript object option script select style svg
    template textarea title video xml xmp
"""
TAGS = frozenset((_BLOCKS + _INLINES).split())
UNSHOWN = frozenset(_UNSHOWN.split())  # removed with their content; of other unknown tags the content stays
_COMMON = {"align", "bgcolor", "dir", "height", "hidden", "lang", "style", "title", "valign", "width"}
_ATTRIBUTES = {
    "*": _COMMON,
    "a": {"href"},
    "col": {"span"},
    "colgroup": {"span"},
    "font": {"color", "face", "size"},
    "hr": {"color", "noshade", "size"},
    "img": {"alt", "border", "hspace", "src", "vspace"},
    "li": {"type", "value"},
    "ol": {"reversed", "start", "type"},
    "table": {"border", "cellpadding", "cellspacing", "frame", "rules", "summary"},
    "td": {"abbr", "colspan", "headers", "nowrap", "rowspan", "scope"},
    "th": {"abbr", "colspan", "headers", "nowrap", "rowspan", "scope"},
    "ul": {"type"},
}
_PROSE = {"alt", "title", "summary", "abbr", "face", "href", "src", "style"}
_PLAIN_VALUE = re.compile(r"[\w #%.,*+-]{0,100}")  # allowed values of bgcolor, width, align and similar attributes

# A browser keeps a slot for each row and column that a cell covers: to lay out eight thousand cells that each cover as
# many as HTML allows takes a quarter of a minute.
_MOST_SPANNED = {"colspan": 100, "rowspan": 500, "span": 100}
_INTEGER = re.compile(r"[ \t\n\f\r]*+\+?+([0-9]++)")  # as browsers read one (HTML 2.3.4.2), whatever follows it

# Shown in place of a remote image. The comment in the GIF makes it differ from any spacer image of a mail.
PLACEHOLDER = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH+B2Jsb2NrZWQAIfkEAQAAAAAsAAAAAAEAAQAAAgFEADs="
_CID = re.compile(r"(?:cid:)+", re.I)  # some programs write it twice
_REMOTE = re.compile(r"https?:[/\\]|[/\\]{2}", re.I)

_STYLE = f"""
html {{ background: #fff; color: #1c1e21; color-scheme: light; }}
body {{ margin: 16px; font: 14px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }}
img {{ max-width: 100%; }} img:not([height]) {{ height: auto; }}
table {{ max-width: 100%; }} td, th {{ overflow-wrap: break-word; }}
pre {{ white-space: pre-wrap; }}
blockquote {{ margin: 4px 0 4px 4px; padding-left: 10px; border-left: 3px solid #c9ced6; color: #4a5160; }}
a {{ color: #0b57d0; }}
.note {{ margin-top: 16px; padding: 8px 12px; border: 1px solid #c9ced6; color: #4a5160; }}
img[src="{PLACEHOLDER}"] {{ min-width: 16px; min-height: 16px; border: 1px dashed #9aa3b2; background: #f1f3f6; }}
img[src="{PLACEHOLDER}"][width="1"], img[src="{PLACEHOLDER}"][height="1"],
img[src="{PLACEHOLDER}"][width="0"], img[src="{PLACEHOLDER}"][height="0"] {{ display: none; }}
"""


@dataclass(frozen=True)
class SafeHtml:
    """A complete HTML document, to be served at a URL of its own.

    `blocked_images`: how many remote images it does not show. `remote_addresses`: the absolute URLs of all remote
    images, shown or not, each once.
    """

    html: str
    blocked_images: int
    remote_addresses: tuple[str, ...] = ()


def safe_html(
    html: str, inline: Mapping[str, tuple[str, bytes]], remote: Mapping[str, tuple[str, bytes]] | None = None
) -> SafeHtml:
    """The mail's HTML made safe, as a standalone document to be served with FRAME_CSP. The document loads nothing.

    `inline`: mime.message.shown_images(). `remote`: URL -> (content type, bytes) of remote images fetched before. The
    raster images of both are embedded as data: URLs in place of their cid: or remote URLs.
    """
    shown = cut(html)
    html, notes = shown, _cut_note() if len(shown) < len(html) else ""
    background = readable_page(_body_background(html))
    attributes = _AttributeFilter(inline, remote or {}, base_address(html))
    body = nh3.clean(
        bounded(html, TAGS | {"body"}, UNSHOWN),
        tags=set(TAGS),
        clean_content_tags=set(UNSHOWN),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=attributes,
        strip_comments=True,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
        url_schemes={
            "http",
            "https",
            "mailto",
            "cid",
            "data",
            "thismessage",  # RFC 2557, 5
            "file",
            "c",
        },  # the last two: some mails name attached pictures by a path (file:///..., C:\...)
        url_relative="pass_through",  # they reach _AttributeFilter, which decides
    )
    notes += _images_note() if attributes.room.has_left_out else ""
    return SafeHtml(
        html=_document(with_breaks(readable(body, background)) + notes, background),
        blocked_images=attributes.blocked_images,
        remote_addresses=tuple(attributes.remote_addresses),
    )


def _cut_note() -> str:
    return _note(gettext("This message is very long: the rest of it is not shown here. Its source has all of it."))


def _images_note() -> str:
    return _note(
        gettext(
            "Some images of this message are not shown here: their bytes or pixels are so many that a browser might "
            "run out of memory. Attached ones can be downloaded, and the message's source has all of them."
        )
    )


def _note(said: str) -> str:
    return f'<p class="note">{escaped(said)}</p>'


def text_to_html(text: str) -> str:
    """Plain text as a standalone document for the same frame: escaped, with links, quoted lines as blockquotes."""
    shown = text[:MAX_HTML]
    pieces: list[str] = []
    depth = 0
    for line in shown.splitlines():
        marks = re.match(r"(?:> ?)*", line)
        quoted = min(marks[0].count(">"), 20) if marks else 0
        content = line[marks.end() :] if marks and quoted else line
        if quoted != depth:
            pieces.append("<blockquote>" * (quoted - depth) if quoted > depth else "</blockquote>" * (depth - quoted))
            depth = quoted
        pieces.append(_linked(content) + "\n")
    pieces.append("</blockquote>" * depth)
    if len(text) > MAX_HTML:
        pieces.append(_cut_note())
    return _document(f'<div style="white-space: pre-wrap">{with_breaks("".join(pieces))}</div>', "")


_ADDRESS_IN_TEXT = re.compile(
    r"\b(?P<url>https?://[^\s<>\"'`\u3000-\u303f\uff00-\uff65]{1,2000})"
    r"|(?<![\w.+-])(?P<mail>[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8})\b"
)


def _linked(line: str) -> str:
    pieces: list[str] = []
    end = 0
    for found in _ADDRESS_IN_TEXT.finditer(line):
        shown = found[0]
        if found["url"]:
            shown = shown.rstrip(".,;:!?*_")
            while shown.endswith(")") and shown.count(")") > shown.count("("):
                shown = shown[:-1].rstrip(".,;:!?")
        target = shown if found["url"] else f"mailto:{shown}"
        pieces.append(escaped(line[end : found.start()]))
        pieces.append(
            f'<a href="{escaped(target)}" target="_blank" rel="noopener noreferrer nofollow">{escaped(shown)}</a>'
        )
        end = found.start() + len(shown)
    pieces.append(escaped(line[end:]))
    return "".join(pieces)


def _document(body: str, background: str) -> str:
    style = f' style="{escaped(background)}"' if background else ""
    title = escaped(gettext("Message"))
    return (
        '<!doctype html>\n<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta name="referrer" content="no-referrer"><title>{title}</title><style>{_STYLE}</style></head>\n'
        f"<body{style}>{body}</body></html>\n"
    )


_BODY_TAG = re.compile(r"<body\b([^>]{0,2000})>", re.I)
_BODY_VALUE = re.compile(r"""\b(bgcolor|style|text)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.I)


_BODY_PROPERTIES = {"bgcolor": "background-color: ", "text": "color: ", "style": ""}


def _body_background(html: str) -> str:
    """The safe styles of the mail's body tag, as Ammonia removes the tag: white text on it would become unreadable."""
    tag = _BODY_TAG.search(html)
    if tag is None:
        return ""
    style = ""
    for name, double, single, bare in _BODY_VALUE.findall(tag[1]):
        value = double or single or bare
        style += f"; {_BODY_PROPERTIES[name.lower()]}{value}"
    kept = safe_style(style).split("; ")
    return "; ".join(part for part in kept if part.startswith(("background", "color:", "font", "direction", "text-")))


def _spanned(name: str, value: str) -> str | None:
    """The number of rows or columns that a browser would take the value for, bounded; None for none."""
    stated = _INTEGER.match(value)
    return stated and str(min(int(stated[1].lstrip("0")[:9] or 0), _MOST_SPANNED[name]))


@dataclass
class _AttributeFilter:
    """Called by Ammonia for each attribute that it allows; returns the value to keep, or None to remove it."""

    inline: Mapping[str, tuple[str, bytes]]
    remote: Mapping[str, tuple[str, bytes]]
    base: str = ""  # base URL of the mail's relative URLs
    blocked_images: int = 0
    remote_addresses: dict[str, None] = field(default_factory=dict)
    room: ImageRoom = field(default_factory=ImageRoom)
    _shown: dict[str, str] = field(default_factory=dict)

    def __call__(self, tag: str, name: str, value: str) -> str | None:
        if name == "style":
            return safe_style(value) or None
        if name == "href":
            return safe_link(value, self.base)
        if name == "src":
            if tag != "img":  # Ammonia also calls this for elements that it removes afterwards
                return None
            return self._source(STRIPPED.sub("", value) if len(value) < 10_000 else value.strip())
        if name in _MOST_SPANNED:
            return _spanned(name, value)
        if tag == "a" and name in ("target", "rel"):
            return value
        return value if name in _PROSE or _PLAIN_VALUE.fullmatch(value) else None

    def _source(self, address: str) -> str | None:
        if address[:4].lower() == "cid:":
            return self._attached(unquote(_CID.sub("", address)))
        if address[:5].lower() == "data:":
            return self.room.of_address(address)
        if not _REMOTE.match(address):
            if (shown := self._attached(unquote(address))) or not self.base or SCHEME.match(address):
                return shown  # some senders leave out "cid:" before the name of an attached picture
            address = joined(self.base, address)
        absolute = (f"https:{address}" if address[:1] in ("/", "\\") else address).replace("\\", "/")
        if shown := self._once(absolute, self.inline):  # a MIME part with this Content-Location (RFC 2557)
            return shown
        self.remote_addresses[absolute] = None
        shown = self._once(absolute, self.remote)
        if shown is None:
            self.blocked_images += 1
        return shown or PLACEHOLDER

    def _attached(self, name: str) -> str | None:
        """An attached picture by its Content-ID or file name, also in brackets, with a path, or in another case."""
        bare = name.strip("<>\"' ")
        file = re.split(r"[/\\]", bare.partition("?")[0])[-1]
        for each in dict.fromkeys((name, bare, file, file.partition("@")[0])):
            known = each if each in self.inline else self._by_lower_case.get(each.lower(), "")
            if known and (shown := self._once(known, self.inline)):
                return shown
        return None

    @cached_property
    def _by_lower_case(self) -> dict[str, str]:
        return {name.lower(): name for name in reversed(list(self.inline))}

    def _once(self, name: str, images: Mapping[str, tuple[str, bytes]]) -> str | None:
        """The image with this Content-ID or URL as a data: URL; encoded once, however often it is shown."""
        if name in self._shown:
            return self.room.again(self._shown[name])
        content_type, octets = images.get(name, ("", b""))
        shown = self.room.address_of(content_type, octets)
        if shown is not None:
            self._shown[name] = shown
        return shown
