"""What may be attached, with the exact answers, and paths that try to leave the storage root."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outbox.compose.attachments import AttachmentInput, AttachmentStore, checked_filename, read_attachment
from outbox.errors import ValidationFailed


@dataclass
class Limit:
    max_size_bytes: int = 1000
    allowed_content_types: list[str] = field(default_factory=lambda: ["text/plain", "application/pdf"])


@pytest.fixture
def store(tmp_path: Path) -> AttachmentStore:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"inside")
    (root / "sub" / "b.txt").write_bytes(b"deeper")
    (tmp_path / "outside.txt").write_bytes(b"secret")
    return AttachmentStore(True, root)


def read(wanted: AttachmentInput, store: AttachmentStore | None = None) -> bytes:
    return read_attachment(wanted, Limit(), store or AttachmentStore(False, Path("/nowhere"))).content


def refusal(wanted: AttachmentInput, store: AttachmentStore | None = None) -> str:
    with pytest.raises(ValidationFailed) as refused:
        read(wanted, store)
    return str(refused.value)


def test_a_mail_may_hold_what_the_policy_allows() -> None:
    assert read(AttachmentInput("a.txt", "text/plain", content=b"x" * 1000)) == b"x" * 1000
    assert read(AttachmentInput("a.txt", "Text/Plain; charset=utf-8", base64="aGVs\nbG8=")) == b"hello"
    assert read(AttachmentInput("a.pdf", content=b"")) == b""


@pytest.mark.parametrize("size", [1001, 5000, 100_000])
def test_one_byte_too_many_is_refused(size: int) -> None:
    assert refusal(AttachmentInput("a.txt", content=b"x" * size)) == "attachment exceeds size limit"
    encoded = base64.b64encode(b"x" * size).decode()
    assert refusal(AttachmentInput("a.txt", base64=encoded)) == "attachment exceeds size limit"


@pytest.mark.parametrize(
    ("name", "kind"), [("a.exe", ""), ("a", ""), ("a.txt", "text/html"), ("a.txt", "rubbish"), ("a", "a/b\r\nX: y")]
)
def test_a_type_outside_the_list_is_refused(name: str, kind: str) -> None:
    assert refusal(AttachmentInput(name, kind, content=b"x")) == "attachment content type is not allowed"


@pytest.mark.parametrize("text", ["a", "a===", "####", "aGVsbG8", "ä"])
def test_malformed_base64_is_refused(text: str) -> None:
    assert "not valid base64" in refusal(AttachmentInput("a.txt", base64=text))


@pytest.mark.parametrize("wanted", [AttachmentInput("a.txt"), AttachmentInput("a.txt", base64="", content=b"")])
def test_exactly_one_source_is_given(wanted: AttachmentInput) -> None:
    assert "exactly one" in refusal(wanted)


@pytest.mark.parametrize("path", ["a.txt", "sub/../a.txt", "./a.txt", "sub/b.txt"])
def test_what_resolves_inside_the_root_is_read(store: AttachmentStore, path: str) -> None:
    assert read(AttachmentInput(path=path), store) in (b"inside", b"deeper")


def test_an_absolute_path_and_a_link_that_stay_inside_are_read(store: AttachmentStore) -> None:
    (store.root / "link.txt").symlink_to("sub/b.txt")

    assert read(AttachmentInput(path=str(store.root / "a.txt")), store) == b"inside"
    assert read(AttachmentInput(path="link.txt"), store) == b"deeper"


@pytest.mark.parametrize(
    "path", ["../outside.txt", "sub/../../outside.txt", "/etc/passwd", "out.txt", "outdir/outside.txt", "loop.txt"]
)
def test_a_path_that_leaves_the_root_is_refused(store: AttachmentStore, path: str) -> None:
    (store.root / "out.txt").symlink_to(store.root.parent / "outside.txt")
    (store.root / "outdir").symlink_to(store.root.parent, target_is_directory=True)
    (store.root / "loop.txt").symlink_to("loop.txt")

    assert refusal(AttachmentInput("a.txt", path=path), store) == "attachment path escapes storage root"


def test_a_folder_swapped_for_a_link_after_the_check_is_not_followed(
    store: AttachmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing real can win this race on demand, so the swap is made between resolving and opening."""
    resolve = Path.resolve

    def swap(self: Path, strict: bool = False) -> Path:
        resolved = resolve(self, strict)
        if resolved.name == "b.txt":
            (store.root / "sub").rename(store.root / "moved")
            (store.root / "sub").symlink_to(store.root.parent, target_is_directory=True)
            (store.root.parent / "b.txt").write_bytes(b"secret")
        return resolved

    monkeypatch.setattr(Path, "resolve", swap)
    assert refusal(AttachmentInput(path="sub/b.txt"), store) == "attachment path escapes storage root"


def test_without_a_store_no_path_is_read(store: AttachmentStore) -> None:
    assert (
        refusal(AttachmentInput(path="a.txt"), AttachmentStore(False, store.root)) == "attachment store not configured"
    )
    gone = AttachmentStore(True, store.root / "gone")
    assert refusal(AttachmentInput(path="a.txt"), gone) == "attachment store not configured"


def test_only_files_are_attached(store: AttachmentStore) -> None:
    os.mkfifo(store.root / "pipe.txt")

    assert "not a file" in refusal(AttachmentInput(path="pipe.txt"), store)
    assert "not a file" in refusal(AttachmentInput("a.txt", path="sub"), store)
    assert "cannot be read" in refusal(AttachmentInput(path="missing.txt"), store)
    (store.root / "big.txt").write_bytes(b"x" * 1001)
    assert refusal(AttachmentInput(path="big.txt"), store) == "attachment exceeds size limit"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("C:\\dir\\a.txt", "a.txt"),
        ("/etc/a.txt", "a.txt"),
        ("..", "attachment"),
        ("", "attachment"),
        ("ä.txt", "ä.txt"),
    ],
)
def test_a_file_name_is_only_its_last_part(name: str, kept: str) -> None:
    assert checked_filename(name) == kept


def test_a_file_name_keeps_its_ending_within_255_bytes() -> None:
    name = checked_filename("é" * 300 + ".pdf")

    assert name.endswith(".pdf") and len(name.encode()) <= 255


def test_a_file_name_with_a_line_break_is_refused() -> None:
    assert "line break" in refusal(AttachmentInput("a\r\nBcc: x@y.z.txt", "text/plain", content=b""))
