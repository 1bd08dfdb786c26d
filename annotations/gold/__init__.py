"""Cases whose answers are known, to measure people: entrance test, hidden repeats, scores, pauses."""
