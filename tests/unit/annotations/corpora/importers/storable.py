"""What the readers' tests hold every item against: that the intake can write it down."""

import json

from annotations.corpora.importers.rows import Rejection, VideoRow


def storable(item: VideoRow | Rejection) -> bool:
    """Whether a database's text and JSON columns can hold an item, and its field is as short as its column."""
    if isinstance(item, Rejection):
        texts = [item.file, item.field, item.reason, item.name]
        fits = len(item.field) <= 60
    else:
        parts = (item.record, item.metadata, [[answer.value, answer.raw_text] for answer in item.answers])
        texts = [item.file, item.name, item.source, item.recording, item.split, item.url]
        texts += [json.dumps(part, allow_nan=False, ensure_ascii=False) for part in parts]
        fits = len(item.name) <= 300 and len(item.recording) <= 200 and len(item.url) <= 2000
    for text in texts:
        text.encode()
    return fits and not any("\x00" in text or "\\u0000" in text for text in texts)
