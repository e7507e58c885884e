"""Drawing a file that a stranger sent: in a process that is bounded, knows nothing, and may be lost."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mailbox.pictures import previews
from mailbox.pictures import render as pictures_render
from tests.mailbox.pictures.pictures import picture

ROOT = Path(__file__).resolve().parents[3]


def bomb() -> bytes:
    """A PNG of 49 megapixels in RGBA that is a few kB on the wire: 196 MB when it is unfolded."""
    return picture("PNG", (7000, 7000), "L")


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
        ("TIFF", "image/tiff"),
        ("BMP", "image/bmp"),
        ("PDF", "application/pdf"),
    ],
)
@pytest.mark.in_part(3)
def test_images_and_pdf_pages_are_drawn_anew_in_two_sizes(kind: str, content_type: str) -> None:
    drawn = previews.draw(picture(kind, (3000, 1500)), content_type)
    for content, bounds in ((drawn.small, pictures_render.SMALL), (drawn.large, pictures_render.LARGE)):
        image = Image.open(io.BytesIO(content))
        assert image.format == "WEBP"
        assert image.size[0] == bounds[0]
        assert abs(image.size[1] - bounds[0] // 2) <= 2
        red, green, blue = image.convert("RGB").getpixel((5, 5))  # type: ignore[misc]
        assert (red > 200, green < 60, blue < 60) == (True, True, True)


def test_the_drawn_picture_carries_nothing_of_the_files_own_bytes() -> None:
    output = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "<script>alert(1)</script>"
    Image.new("RGB", (50, 50)).save(output, "JPEG", exif=exif)
    assert b"<script>" in output.getvalue()
    drawn = previews.draw(output.getvalue() + b"<script>", "image/jpeg")
    assert b"script" not in drawn.small + drawn.large


@pytest.mark.parametrize(
    ("make", "content_type", "words"),
    [
        (lambda: b"", "image/png", "no whole image"),
        (lambda: b"junk" * 100, "image/png", "no whole image"),
        (lambda: picture()[:200], "image/png", "no whole image"),
        (lambda: b"%PDF-1.4\n%%EOF", "application/pdf", "damaged or needs a password"),
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/png", "no whole image"),
        (lambda: picture("PNG", (20_000, 20_000), "1"), "image/png", "^The image has too many pixels.$"),
        (lambda: picture("PNG", (8_000, 8_000), "1"), "image/png", "^The image has too many pixels.$"),
    ],
    ids=[
        "empty",
        "junk",
        "half a PNG",
        "a PDF without pages",
        "SVG called PNG",
        "400 megapixels in 50 kB",
        "64 megapixels",
    ],
)
def test_of_what_cannot_be_drawn_there_is_no_preview_and_a_sentence(
    make: Callable[[], bytes], content_type: str, words: str
) -> None:
    with pytest.raises(previews.NoPreview, match=words):
        previews.draw(make(), content_type)


def test_a_pdf_page_that_is_endless_or_tiny_is_bounded() -> None:
    for box in ("0 0 14400000 14400000", "0 0 1 100000", "0 0 0 0"):
        raw = (
            b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        )
        raw += f"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[{box}]>>endobj\ntrailer<</Root 1 0 R>>\n".encode()
        try:
            drawn = previews.draw(raw, "application/pdf")
        except previews.NoPreview:
            continue
        assert max(Image.open(io.BytesIO(drawn.large)).size) <= max(pictures_render.LARGE)


def test_a_file_that_takes_too_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is what ends it here; nothing needs half a second less than the start of the process."""
    with pytest.raises(previews.NoPreview, match="too long"):
        previews.draw(picture(), "image/png", seconds=0.01)


def test_a_file_that_wants_more_memory_than_there_is_ends_only_its_own_process() -> None:
    script = (
        "import resource, sys; from mailbox.pictures import render as p; p.MAX_MEMORY = 160 * 1024 * 1024;"
        "sys.exit(p.main('image/png', sys.stdin.buffer, sys.stdout.buffer))"
    )
    done = subprocess.run([sys.executable, "-c", script], input=bomb(), capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stdout == b""


def test_the_process_knows_none_of_our_secrets_and_is_confined() -> None:
    script = (
        "import resource, os; from mailbox.pictures import render as p; p.confine();"
        "print(resource.getrlimit(resource.RLIMIT_AS)[1] == p.MAX_MEMORY, resource.getrlimit(resource.RLIMIT_CPU)[1],"
        "resource.getrlimit(resource.RLIMIT_FSIZE)[1], 'django' in __import__('sys').modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["True", str(pictures_render.MAX_CPU_SECONDS), "0", "False"]


def test_the_drawing_process_dies_with_its_worker() -> None:
    """A worker that is killed leaves nobody drawing a hostile file."""
    script = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen([{sys.executable!r}, '-c', "
        "'from mailbox.pictures import render as p; import time; p.confine(); print(1, flush=True); time.sleep(60)'],"
        "stdout=subprocess.PIPE); child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)"
    )
    worker = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    child = int(worker.stdout.readline())
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    ends_at = time.monotonic() + 10
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < ends_at:
        if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            break
        threading.Event().wait(0.02)
    else:
        assert not Path(f"/proc/{child}").exists()
