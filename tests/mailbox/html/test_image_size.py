"""The pixels of an image, read from its header: of every way to write it, and of no bytes by an exception."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbox.html import images, sanitizer
from mailbox.html.image_size import pixels_of
from tests.mailbox.html.images_by_size import TRICKS, encoded, png


@pytest.mark.parametrize("octets", TRICKS.values(), ids=TRICKS)
def test_the_size_is_the_one_that_decoders_see(octets: bytes) -> None:
    assert pixels_of(octets) == 40 * 30


@pytest.mark.parametrize("octets", TRICKS.values(), ids=TRICKS)
def test_a_header_that_is_cut_raises_nothing(octets: bytes) -> None:
    for length in range(min(len(octets), 900)):
        assert pixels_of(octets[:length]) in (None, 40 * 30, 1)  # 1: a screen that its frame would enlarge


@given(st.sampled_from([octets[:16] for octets in TRICKS.values()]), st.binary(max_size=200))
def test_no_bytes_raise(head: bytes, rest: bytes) -> None:
    found = pixels_of(head + rest)
    assert found is None or found > 0


@pytest.mark.parametrize(
    "octets", [b"", b"GIF89a", b"BM" + bytes(60), b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIDAT" + bytes(9)]
)
def test_what_states_no_size_has_none(octets: bytes) -> None:
    assert pixels_of(octets) is None


def shown(*octets: bytes) -> str:
    inline = {str(number): ("image/png", each) for number, each in enumerate(octets)}
    return sanitizer.safe_html("".join(f'<img src="cid:{name}" alt="logo">' for name in inline), inline).html


def test_an_image_of_more_pixels_than_a_browser_can_hold_is_not_shown_and_the_document_says_so() -> None:
    bomb = png(50_000, 50_000)
    assert len(bomb) < 500_000
    document = shown(bomb)
    assert '<img alt="logo"><p class="note">Some images of this message are not shown here' in document
    at_most = png(10_000, images.MAX_IMAGE_PIXELS // 10_000)
    assert 'src="data:image/png;base64,' in shown(at_most)
    assert "data:" not in shown(png(10_000, images.MAX_IMAGE_PIXELS // 10_000 + 1)).partition("</style>")[2]


def test_images_share_a_limit_of_pixels_and_one_shown_often_counts_once() -> None:
    large = [png(10_000, 4_900 + number) for number in range(4)]  # 49 million each
    document = shown(*large)
    assert document.count("data:image/png") == 3
    assert "Some images of this message are not shown here" in document
    again = '<img src="cid:a">' * 20
    assert sanitizer.safe_html(again, {"a": ("image/png", large[0])}).html.count("data:image/png") == 20


def test_an_image_that_is_named_by_thousands_of_tags_does_not_make_a_page_of_gigabytes() -> None:
    picture = encoded("PNG", (40, 30)) + bytes(300_000)
    found = sanitizer.safe_html('<img src="cid:a">' * 20_000, {"a": ("image/png", picture)}).html
    assert found.count("data:image/png") == images.MAX_IMAGES_BYTES // len(picture)
    assert len(found) < 15_000_000
    assert "Some images of this message are not shown here" in found


def test_a_data_address_of_too_many_pixels_is_not_shown_either() -> None:
    address = f"data:image/png;base64,{b64encode(png(50_000, 50_000)).decode()}"
    document = sanitizer.safe_html(f'<img src="{address}">', {}).html
    assert "Some images of this message are not shown here" in document
    assert "base64" not in document.partition("</style>")[2]


def test_a_remote_image_of_too_many_pixels_stays_a_placeholder() -> None:
    address = "https://x.example/a.png"
    found = sanitizer.safe_html(f'<img src="{address}">', {}, {address: ("image/png", png(50_000, 50_000))})
    assert found.blocked_images == 1
    assert f'<img src="{sanitizer.PLACEHOLDER}">' in found.html
    assert "Some images of this message are not shown here" in found.html


def test_a_photograph_is_shown() -> None:
    photograph = encoded("JPEG", (6_000, 4_000), quality=30)  # 24 megapixels, as cameras make them
    found = sanitizer.safe_html('<img src="cid:a">', {"a": ("image/jpeg", photograph)}).html
    assert 'src="data:image/jpeg;base64,' in found and "not shown here" not in found
