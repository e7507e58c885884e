"""No text of a mail is lost on a background that is not shown."""

from __future__ import annotations

import re

import pytest

from mailbox.html.sanitizer import safe_html


def body(markup: str) -> str:
    found = re.search(r"<body.*</body>", safe_html(markup, {}).html, re.S)
    assert found
    return found[0]


@pytest.mark.parametrize(
    "markup",
    [
        '<table><tr><td background="night.png" style="color:#fff">a</td></tr></table>',
        "<style>.x{background:#222}</style><div class=x><font color=white>a</font></div>",
        '<div style="background-image:url(x.png);color:#fefefe"><p>a</p></div>',
        '<div style="background:linear-gradient(#222,#333);color:white">a</div>',
        '<p style="color:rgba(255, 255, 255, 0.9)">a</p>',
        '<p style="color:hsl(0, 0%, 99%)">a</p>',
        '<p style="color:hsl(0 0% 99%)">a</p>',
        '<p style="color:rgb(255 255 255 / 90%)">a</p>',
        '<font color="ffffff">a</font>',
        '<p style="color:hsl(0deg 0% 100%)">a</p>',
        '<p style="color:transparent">a</p>',
        '<p style="color:rgba(0,0,0,.05)">a</p>',
        '<p style="color:#00000000">a</p>',
        '<p style="color:Canvas">a</p>',
        '<p style="background:#222 none;background:none;color:white">a</p>',
        '<body style="color:transparent"><p>a</p></body>',
    ],
)
def test_light_text_without_its_dark_background_takes_the_colour_of_the_page(markup: str) -> None:
    assert not re.search(r"(?<!background-)color(?:=|: (?!#1c1e21))", body(markup))


@pytest.mark.parametrize(
    "background",
    [
        "#222 url('x(1).png')",
        "#222 url(data:image/png;base64,AAAA)",
        "#222 url(&quot;https://x.example/y;z.png&quot;) no-repeat",
        "URL(x.png) #222",
        "#222 linear-gradient(90deg, rgb(0,0,0), #333)",
        "#222 image-set(url(x.png) 1x)",
        "rgb(34 34 34)",
        "rgb(34 34 34 / 90%)",
        "none repeat scroll 0 0 #222",
        "url(a.png), url(b.png) #222",
        "url(a.png), url(b.png), #222",
        "linear-gradient(#000, #111), url(b.png), #222",
        "#222 !important",
    ],
)
def test_a_background_in_any_form_keeps_its_colour_and_its_text(background: str) -> None:
    shown = body(f'<p style="background:{background};color:#ffffff">a</p>')
    assert (
        re.search(r"background: *(?:none repeat scroll 0 0 )?(?:#222|rgb\(34 34 34)", shown)
        and "color: #ffffff" in shown
    )
    assert not re.search(r"url|gradient|image-set", shown, re.I)


def test_a_shorthand_keeps_its_colour_when_its_picture_goes() -> None:
    shown = body('<p style="background:#222222 url(https://x.example/y.png) no-repeat;color:#ffffff">a</p>')
    assert "#222222" in shown
    assert "color: #ffffff" in shown
    assert "y.png" not in shown


@pytest.mark.parametrize(
    "markup",
    [
        '<div style="background-color:#111"><p>a</p></div>',
        "<table bgcolor=black><tr><td>a</td></tr></table>",
        '<body bgcolor="#000"><p>a</p></body>',
        '<body bgcolor="#000" text="#ffffff"><p>a</p></body>',
    ],
)
def test_text_on_a_dark_background_is_light(markup: str) -> None:
    assert re.search(r"(?<!background-)color: #ffffff", body(markup))


@pytest.mark.parametrize(
    ("around", "link"),
    [("background:#0b57d0", "#ffffff"), ("background:#333;color:#eee", "#eeeeee"), ("background:#fff", ""), ("", "")],
)
@pytest.mark.parametrize("tag", ["a", "blockquote"])
def test_a_link_or_quote_without_a_colour_is_seen_on_any_background(tag: str, around: str, link: str) -> None:
    shown = body(f'<div style="{around}"><{tag} title="color">b</{tag}></div>')
    found = re.search(rf"<{tag} ([^>]*)>", shown)
    assert found and (f'style="color: {link}"' in found[1] if link else "style" not in found[1])


def test_a_style_that_shows_what_lies_behind_takes_the_place_of_an_attribute() -> None:
    shown = body('<p bgcolor="#000000" style="background-color:transparent;color:white">a</p>')
    assert re.search(r'style="background-color: transparent"', shown)


@pytest.mark.parametrize(
    "markup",
    [
        '<div style="background-color: #222; color: #ffffff"><span style="color: #eeeeee">a</span></div>',
        '<p style="color: #336699">a</p>',
    ],
)
def test_what_can_be_read_stays_as_it_is(markup: str) -> None:
    assert markup in body(markup)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("/order/1", "https://shop.example/order/1"),
        ("order", "https://shop.example/a/order"),
        ("www.example.com/x", "https://www.example.com/x"),
        ("https://other.example/", "https://other.example/"),
        ("mailto:a@b.example", "mailto:a@b.example"),
    ],
)
def test_relative_links_stand_on_the_base_that_the_mail_states(address: str, shown: str) -> None:
    markup = f'<html><head><base href="https://shop.example/a/"></head><body><a href="{address}">x</a></body></html>'
    assert f'href="{shown}"' in body(markup)


def test_a_base_in_a_comment_is_none() -> None:
    commented = (
        '<!-- <base href="https://other.example/"> --><!--[if mso]><base href="https://mso.example/"><![endif]-->'
    )
    assert "href" not in body(f'{commented}<a href="/order">x</a>')
    assert 'href="https://shop.example/order"' in body(
        f'{commented}<base href="https://shop.example/"><a href="/order">x</a>'
    )


@pytest.mark.parametrize("base", ["javascript:alert(1)//", "data:text/html,", "//x.example", "", "https://[::"])
def test_a_base_that_is_no_web_address_makes_no_link(base: str) -> None:
    assert "href" not in body(f'<base href="{base}"><a href="/order">x</a>')


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1"  # one pixel


@pytest.mark.parametrize("source", ["image001.png", "cid:image001.png", "image%3001.png", "https://x.example/i.png"])
def test_an_image_of_the_mail_is_shown_by_each_of_its_names(source: str) -> None:
    inline = {"image001.png": ("image/png", PNG), "https://x.example/i.png": ("image/png", PNG)}
    shown = safe_html(f'<img src="{source}">', inline)
    assert "data:image/png;base64," in shown.html.partition("<body")[2]
    assert shown.blocked_images == 0


@pytest.mark.parametrize(
    "source",
    [
        *("image001.png", "cid:image001.png", "CID:IMAGE001.PNG", "cid:<image001.png>", "cid:image001.png@01DB8C40"),
        *("./image001.png", "images/image001.png", "cid://image001.png", "image001.png?x=1"),
        *("file:///C:/Temp/image001.png", r"C:\Temp\image001.png", "cid:cid:image001.png", "thismessage:/image001.png"),
    ],
)
def test_a_picture_of_the_mail_is_shown_by_any_way_to_name_it(source: str) -> None:
    png = PNG + bytes(20)
    shown = safe_html(f'<img src="{source}" alt="fax">', {"image001.png": ("image/png", png)})
    assert "data:image/png;base64," in shown.html and not shown.remote_addresses
    others = safe_html(f'<img src="{source}"><a href="{source}">x</a>', {"b.png": ("image/png", png)})
    assert "data:image/png" not in others.html and "file:" not in others.html and "C:" not in others.html


@pytest.mark.parametrize("stated", ["image/png", "image/jpg", "image/x-png", "image/pjpeg", "image/unknown"])
def test_a_picture_is_shown_as_what_it_is_whatever_its_type_is_called(stated: str) -> None:
    assert "data:image/png;base64," in safe_html('<img src="cid:a">', {"a": (stated, PNG)}).html.partition("<body")[2]
    svg = safe_html('<img src="cid:a">', {"a": (stated, b"<svg onload='x'/>")}).html.partition("<body")[2]
    assert "svg" not in svg and "data:" not in svg
