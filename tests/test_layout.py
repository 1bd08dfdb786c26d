"""platform/ must stay a plain folder, or it shadows the standard library's module of that name."""

import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_platform_folder_has_no_modules_of_its_own() -> None:
    assert list((ROOT / "platform").glob("*.py")) == []


def test_importing_platform_gives_the_standard_library() -> None:
    assert Path(platform.__file__).parent == Path(sysconfig.get_path("stdlib"))


def test_running_from_the_root_keeps_the_standard_library() -> None:
    script = "import platform; assert platform.python_version()"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_no_file_is_larger_than_ten_megabytes() -> None:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.split(
        b"\0"
    )
    big = [
        name.decode()
        for name in names
        if name
        and (ROOT / name.decode()).is_file()
        and (ROOT / name.decode()).stat().st_size > 10 * 1024 * 1024
    ]
    assert big == []
