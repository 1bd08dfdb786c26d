"""Who belongs to a corpus, with which role, and whether others may enter it."""
