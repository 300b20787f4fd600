"""The reports that verify.py writes."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

from tests.scripts.conftest import Script


def test_verify_writes_both(script: Script, tmp_path: Path) -> None:
    outputs = ("--html", "r.html", "--markdown", "r.md", "--json", "r.json")
    done = script("verify", "--claims", "forms", "--quick", *outputs)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    page = unescape(re.sub(r"<[^>]*>", "", (tmp_path / "r.html").read_text(encoding="utf-8")))
    assert record["verdicts"][0]["evidence"] in page
    assert "### forms" in (tmp_path / "r.md").read_text(encoding="utf-8")
