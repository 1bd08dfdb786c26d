"""How alike two sentences are. Words are compared, not characters.

Before comparing, Unicode is folded to its compatibility form (NFKC), capitals to small letters, and everything that is
no letter, digit or underscore separates words: white space and punctuation never count. No word is left out or stemmed.

Sources: token F1: Rajpurkar et al., SQuAD, EMNLP 2016, section 6.1 (which also drops articles; we keep them).
Edit distance: Levenshtein, Soviet Physics Doklady 10 (1966) 707-710, by the bit vectors of Myers, J. ACM 46 (1999)
395-415, as Hyyrö, Nordic J. Computing 10 (2003) 29-39, writes them for the distance of whole sequences.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Sequence

_WORD = re.compile(r"\w+")


def words_of(text: str) -> tuple[str, ...]:
    """The words that are compared: 'The car, RED' -> ('the', 'car', 'red')."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def token_f1(first: Sequence[str], second: Sequence[str]) -> float:
    """Harmonic mean of the shares of either side's words that the other has as well; 0 to 1. No words at all: 1."""
    if first == second:
        return 1.0
    shared = sum((Counter(first) & Counter(second)).values())
    return 2 * shared / (len(first) + len(second))


def edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Insertions, deletions and replacements that lead from one sequence to the other, at least."""
    if first == second:
        return 0
    if not first or not second:
        return len(first) + len(second)
    places: dict[Hashable, int] = {}
    for place, item in enumerate(first):
        places[item] = places.get(item, 0) | 1 << place
    everywhere, last = (1 << len(first)) - 1, 1 << (len(first) - 1)
    rises, falls, distance = everywhere, 0, len(first)
    for item in second:
        here = places.get(item, 0)
        diagonal = (((here & rises) + rises) ^ rises) | here | falls
        up = (falls | ~(diagonal | rises)) & everywhere
        down = diagonal & rises
        distance += bool(up & last) - bool(down & last)
        up = up << 1 | 1
        rises = (down << 1 | ~(diagonal | up)) & everywhere
        falls = up & diagonal & everywhere
    return distance


def normalised_edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Edit distance over the length of the longer sequence; 0 (the same) to 1 (nothing kept)."""
    longer = max(len(first), len(second))
    return edit_distance(first, second) / longer if longer else 0.0
