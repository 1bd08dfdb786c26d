"""Near duplicates: fingerprints of clips, the search for copies, and clusters that people can edit.

sampling, fingerprint, matching, search and clustering are plain Python; queueing, making, linking, searching, settling
and services are the work and the rows. Only workers load imagehash and FAISS.
"""

from typing import Final

METHOD: Final = "dhash256-grey16/1"
"""Only fingerprints of one method are compared. Change it with anything that changes what is stored."""
