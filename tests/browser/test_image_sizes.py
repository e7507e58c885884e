"""What Chromium decodes of an image has the pixels that we read from its header: else a limit of pixels were none."""

from __future__ import annotations

from base64 import b64encode

import pytest
from playwright.sync_api import Page

from mailbox.html.image_size import pixels_of
from tests.mailbox.html.images_by_size import TRICKS

pytestmark = pytest.mark.browser
DECODED = """(address) => new Promise((resolve) => {
  const image = new Image();
  image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
  image.onerror = () => resolve(null);
  image.src = address;
})"""


@pytest.mark.parametrize("octets", TRICKS.values(), ids=TRICKS)
def test_chromium_sees_the_size_that_we_read(page: Page, octets: bytes) -> None:
    width, height = page.evaluate(DECODED, f"data:image/png;base64,{b64encode(octets).decode()}")
    assert width * height == pixels_of(octets)
