"""Template filters of the pages about prediction runs."""

from datetime import datetime

from django import template

from frontend import runs

register = template.Library()


@register.filter
def lasting(seconds: float | None) -> str:
    """A length of time for people; an em dash when unknown."""
    return runs.lasting(seconds)


@register.filter
def until(began: datetime | None, ended: datetime | None) -> str:
    """How long it was from the first time to the second; an em dash when one is unknown."""
    return runs.lasting((ended - began).total_seconds() if began and ended else None)


@register.filter
def per_minute(rate: float) -> str:
    """Cases a minute with as many digits as mean something: 0.034 -> '0.034', 3.456 -> '3.5', 123.4 -> '123'."""
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
