"""Template filters of the auto-approval page."""

from django import template

register = template.Library()


@register.filter
def rate(value: float | None) -> str:
    """A share of 0 to 1 as a percentage with the decimals it needs: 0.05 -> '5 %', 0.0123 -> '1.23 %'."""
    return "—" if value is None else f"{100 * value:.3g} %"


@register.filter
def small(value: float) -> str:
    """A p-value: 0.034 -> '0.034', 0.00001 -> '< 0.0001'."""
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"
