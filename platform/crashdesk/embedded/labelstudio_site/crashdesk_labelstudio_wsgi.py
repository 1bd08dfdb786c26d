"""Label Studio's WSGI application for gunicorn, without the one outside call that has no switch.

The projects page asks /heidi-tips/, and the server then fetches a file from the internet; here the path
answers 404 and the page simply shows no tip.
"""

import importlib
from collections.abc import Callable, Iterable
from typing import Any

_labelstudio: Callable[..., Iterable[bytes]] = importlib.import_module("core.wsgi").application


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI entry point."""
    if environ.get("PATH_INFO", "").startswith("/heidi-tips"):
        start_response("404 Not Found", [("Content-Type", "application/json"), ("Content-Length", "2")])
        return [b"{}"]
    return _labelstudio(environ, start_response)
