"""Times for people. The only place where microseconds become seconds."""


def seconds(us: int) -> str:
    """Integer microseconds as seconds with milliseconds, rounded half up: 1234567 -> '1.235'."""
    ms = (us + 500) // 1000
    return f"{ms // 1000}.{ms % 1000:03d}"


def span(start_us: int, end_us: int) -> str:
    """A span in seconds: '1.200 - 3.400 s', with an en dash."""
    return f"{seconds(start_us)} – {seconds(end_us)} s"  # noqa: RUF001


def instant(at_us: int) -> str:
    """An instant in seconds: '1.200 s'."""
    return f"{seconds(at_us)} s"
