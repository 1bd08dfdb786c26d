"""The checks of the audit: each reads the columns of a corpus and yields findings. Plain Python and numpy."""
