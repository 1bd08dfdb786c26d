"""The child process in which a worker's thread decodes clips."""

import threading

from django.conf import settings

from annotations.corpora.media.isolate import Isolated

_threads = threading.local()


def decoding_child() -> Isolated:
    """This thread's own child, kept from clip to clip because starting one takes longer than most calls."""
    if not hasattr(_threads, "child"):
        _threads.child = Isolated(
            timeout_s=settings.MEDIA_TIMEOUT_SECONDS, memory_bytes=settings.MEDIA_MEMORY_MB * 1024 * 1024
        )
    child: Isolated = _threads.child
    return child
