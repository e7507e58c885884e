"""The lock files hold what the lists of ranges ask for."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.servers.site import ROOT


def locked(name: str) -> dict[str, str]:
    text = Path(ROOT, name).read_text(encoding="utf-8")
    return {canonicalize_name(package): version for package, version in re.findall(r"^([\w.\-]+)==(\S+)", text, re.M)}


@pytest.mark.parametrize(
    "name",
    [
        *("requirements", "requirements-s3", "requirements-otel", "requirements-sentry", "requirements-dev"),
        "tests/fuzz/requirements",
    ],
)
def test_each_range_is_met_by_a_locked_version_with_a_hash(name: str) -> None:
    lines = [line.partition("#")[0].strip() for line in Path(ROOT, f"{name}.txt").read_text().splitlines()]
    asked = [Requirement(line) for line in lines if line and not line.startswith("-")]
    versions = locked(f"{name}.lock")
    assert [str(each) for each in asked if versions.get(canonicalize_name(each.name), "0") not in each.specifier] == []
    text = Path(ROOT, f"{name}.lock").read_text(encoding="utf-8")
    assert text.count("==") <= text.count("--hash=sha256:")
    assert "://" not in text


@pytest.mark.parametrize("version", ["3.11.0", "3.12.0", "3.13.0", "3.14.0"])
def test_a_lock_holds_what_its_packages_need_on_each_python_that_we_promise(version: str) -> None:
    """It is made on one; redis wants a package more on Debian 12's own."""
    pins = locked("requirements-dev.lock")
    lacking = []
    for name in pins:
        for needed in map(Requirement, metadata.requires(name) or []):
            on = {"extra": "", "python_version": version.rpartition(".")[0], "python_full_version": version}
            if needed.marker and needed.marker.evaluate(on) and canonicalize_name(needed.name) not in pins:
                lacking.append(f"{needed} of {name}")
    assert lacking == []
