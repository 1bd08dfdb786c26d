"""Where the real sample data lies when it is mounted beside the checkout; tests that need it skip without it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def shared(*parts: str) -> Path:
    """Path below the shared data folder, or skip the calling test with a reason."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real sample data absent: {'/'.join(parts)} (looked beside the checkout)")
    return path
