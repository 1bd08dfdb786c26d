import pytest
from django.db import connections

from crashdesk.locks import only_one


def held_elsewhere(*key: int) -> bool:
    """Whether another connection is refused the lock."""
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute(f"SELECT pg_try_advisory_lock({', '.join(['%s'] * len(key))})", key)
            return not cursor.fetchone()[0]
    finally:
        other.close()


@pytest.mark.parametrize("key", [(2**62,), (-(2**63),), (7, -5)])
def test_a_lock_is_held_until_the_end_of_the_block(db: None, key: tuple[int, ...]) -> None:
    with only_one(*key) as alone:
        assert alone
        assert held_elsewhere(*key)
    assert not held_elsewhere(*key)


def test_one_number_and_two_are_different_locks(db: None) -> None:
    with only_one(7, 5):
        assert not held_elsewhere(7 << 32 | 5)


def test_who_is_refused_gives_nothing_back(db: None) -> None:
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [41])
            with only_one(41) as alone:
                assert not alone
            assert held_elsewhere(41)
    finally:
        other.close()


def test_a_lock_is_given_back_when_the_work_fails(db: None) -> None:
    with pytest.raises(ZeroDivisionError), only_one(42):
        raise ZeroDivisionError
    assert not held_elsewhere(42)
