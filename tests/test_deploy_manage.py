"""deploy/manage hands manage.py the environment that systemd hands the units, from the same file."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.site import ROOT


def typed(folder: Path, environment: str) -> subprocess.CompletedProcess[str]:
    """What manage.py is given, as `NAME=value` lines: by the script, with this folder in place of the machine's."""
    (folder / "environment").write_text(environment, newline="")
    (folder / "manage.py").write_text("import os, sys\nprint(*(f'{n}={v}' for n, v in os.environ.items()), sep='\\n')")
    script = (ROOT / "deploy/manage").read_text()
    for place, instead in (
        ("/etc/prx-email/environment", folder / "environment"),
        ("/opt/prx-email/.venv/bin/python", sys.executable),
        ("/opt/prx-email/manage.py", folder / "manage.py"),
        ("passwd prx-email", f"passwd {getpass.getuser()}"),
        ("-u prx-email", f"-u {getpass.getuser()}"),
    ):
        assert place in script
        script = script.replace(place, str(instead))
    return subprocess.run(
        ["sh", "-c", script, "manage"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("NAME=plain", "plain"),
        ("NAME=pa$$word & `more` * #1 'x' \"y\"", "pa$$word & `more` * #1 'x' \"y\""),
        ('NAME="in quotes"', "in quotes"),
        ("NAME='in $quotes'", "in $quotes"),
        ("  NAME = after blanks \t\r", "after blanks"),
        ('NAME=""', ""),
        ("NAME=", ""),
        ("NAME=a=b", "a=b"),
    ],
)
def test_a_line_is_read_as_systemd_reads_it(tmp_path: Path, line: str, value: str) -> None:
    done = typed(tmp_path, f"# a comment\n; NAME=another\n\nno variable\nNO-NAME=x\n{line}\nLAST=there")
    assert done.returncode == 0, done.stderr
    assert {f"NAME={value}", "LAST=there"} <= {*done.stdout.splitlines()}


@pytest.mark.parametrize("line", [r"NAME=a\\b", 'NAME="over', "NAME='", 'NAME="', "NAME=goes on\\"])
def test_what_the_script_cannot_read_as_systemd_does_is_refused_by_name(tmp_path: Path, line: str) -> None:
    done = typed(tmp_path, f"{line}\nlines'\"\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "environment: NAME has a backslash, or a quote that is not closed" in done.stderr
