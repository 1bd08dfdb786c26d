"""`python -m tests.integration.storm --cases 2000`: the storm at any size, with its report on the screen."""

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.integration.storm", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep logs and databases there")
    chosen = parser.parse_args()
    import tests.plugin  # noqa: F401  a home and a PostgreSQL of its own, before Django reads its settings

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crashdesk.settings")
    import django

    django.setup()
    from tests.integration.storm.storm import run

    with tempfile.TemporaryDirectory(prefix="storm-", ignore_cleanup_errors=True) as folder:
        report = run(chosen.keep or Path(folder), cases=chosen.cases, seed=chosen.seed)
    for line in report.lines():
        print(line)
    return 1 if report.verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
