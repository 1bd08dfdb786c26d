import os
from concurrent.futures import ThreadPoolExecutor

from annotations.corpora.decoding import decoding_child


def test_a_thread_keeps_its_child_and_shares_it_with_no_other() -> None:
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        first, again, elsewhere = (thread.submit(decoding_child).result() for thread in (one, one, other))
    try:
        assert first is again
        assert first is not elsewhere
        assert first.call(os.getpid) == again.call(os.getpid) != os.getpid()
    finally:
        first.close()
        elsewhere.close()
