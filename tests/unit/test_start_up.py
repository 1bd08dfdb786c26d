"""What every process imports stays light: only the GPU worker may load torch."""

import subprocess
import sys

from tests.shared_data import ROOT


def test_starting_django_loads_no_model_runtime() -> None:
    code = (
        "import django, sys; django.setup(); from django.urls import get_resolver; get_resolver().url_patterns; "
        "heavy = {'torch', 'transformers', 'peft', 'nltk', 'sklearn', 'label_studio_sdk', 'pandas'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**__import__("os").environ, "DJANGO_SETTINGS_MODULE": "crashdesk.settings"},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
