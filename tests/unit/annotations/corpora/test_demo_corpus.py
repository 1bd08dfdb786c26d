"""The command that writes the demo corpus."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError


def test_the_command_writes_a_corpus_and_says_so(tmp_path: Path) -> None:
    out = StringIO()
    call_command("demo_corpus", tmp_path / "demo", "--clips", "2", "--seed", "3", stdout=out)
    assert "clip 2 of 2" in out.getvalue()
    assert "2 clips" in out.getvalue()
    assert (tmp_path / "demo" / "manifest.jsonl").exists()


def test_nonsense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="at least one clip"):
        call_command("demo_corpus", tmp_path, "--clips", "0")
