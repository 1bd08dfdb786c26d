"""Template filters of the pages about corpora."""

import json
from typing import Any

from django import template

from annotations.corpora.importers.formats import FORMATS
from annotations.corpora.models import ImportFormat
from frontend import corpora, corpora_clip
from frontend.times import instant

register = template.Library()


@register.filter
def thousands(value: int | None) -> str:
    """A count with separators: 12345 -> '12,345'; an em dash when unknown."""
    return "—" if value is None else f"{value:,}"


@register.filter
def share(percent: float) -> str:
    """0 to 100 as a percentage that does not hide the few: 0.04 -> '< 0.1 %', 99.99 -> '> 99.9 %'."""
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


@register.filter
def ms(us: int | None) -> str:
    """Microseconds as milliseconds, exact: 33367 -> '33.367 ms'; an em dash when unknown."""
    return "—" if us is None else f"{us // 1000:,}.{us % 1000:03d} ms"


@register.filter
def as_json(value: Any) -> str:
    """Compact JSON, for a data attribute; the template escapes it."""
    return json.dumps(value, separators=(",", ":"))


@register.filter
def pretty(value: Any) -> str:
    """Indented JSON, for people."""
    return corpora_clip.pretty_json(value)


@register.filter(name="bytes")
def bytes_words(count: int) -> str:
    """Bytes for people: 1234567 -> '1.2 MB'."""
    return corpora_clip.size(count)


@register.filter
def format_title(value: str) -> str:
    """What a format of imports is called."""
    return FORMATS[value].title if value in FORMATS else str(ImportFormat(value).label)


@register.filter
def report_words(report: dict[str, Any]) -> list[str]:
    """An import's report in a few words."""
    return corpora.summary(report)


@register.filter
def words_list(text: str) -> list[str]:
    """The words of a text, to loop over: 'name path url'."""
    return text.split()


class Fields:
    """The values of a form whose names begin alike."""

    def __init__(self, values: dict[str, str], name: str) -> None:
        self.values, self.name = values, name


@register.filter
def field(values: "dict[str, str] | Fields", name: str) -> "str | Fields":
    """A form's value whose name is put together: fields|field:kind|field:'unit' is fields['<kind>.unit']."""
    if isinstance(values, Fields):
        return values.values.get(f"{values.name}.{name}", "")
    return Fields(values, name)


@register.filter
def cell_words(value: Any) -> str:
    """A table's cell as text, cut to what a preview has room for."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"


@register.filter
def tail(text: str) -> str:
    """The end of an error's text, where the cause stands; at most 4000 characters."""
    return text if len(text) <= 4000 else f"…{text[-4000:]}"


@register.filter
def later(shift_us: int) -> str:
    """When a clip shows what the one it is compared with shows: 1500000 -> '1.500 s later than there'."""
    return f"{instant(abs(shift_us))} {'later' if shift_us > 0 else 'earlier'} than there"
