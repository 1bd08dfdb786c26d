"""Loaded first (`-p tests.plugin`): gives the session its own home and PostgreSQL before Django reads its settings.

Workers of pytest-xdist inherit the environment, so that the controlling process does this once.
"""

import atexit
import os
import shutil
import tempfile

from crashdesk.embedded.testing import postgres_for_tests

if "CRASHDESK_TEST_SESSION" not in os.environ:
    _home = tempfile.mkdtemp(prefix="crashdesk-home-")
    atexit.register(shutil.rmtree, _home, ignore_errors=True)
    os.mkdir(os.path.join(_home, "static"))  # WhiteNoise warns of a missing folder
    for _name in [name for name in os.environ if name.startswith("CRASHDESK_")]:
        if _name not in {"CRASHDESK_LABELSTUDIO_VENV", "CRASHDESK_SCREENSHOTS"}:
            del os.environ[_name]
    os.environ["CRASHDESK_TEST_SESSION"] = "1"
    os.environ["CRASHDESK_HOME"] = _home
    os.environ["CRASHDESK_DATABASE_URL"] = postgres_for_tests()
    os.environ["CRASHDESK_BROKER_URL"] = "memory://"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
