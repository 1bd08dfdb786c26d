"""Every format that can be imported, by its name in the database.

A new one is a module of this folder with a FORMAT, and a line here.
"""

from typing import Final

from annotations.corpora.importers import crashchat, demo, folder, labelstudio, mmau, nexar, table
from annotations.corpora.importers.reading import Format
from annotations.corpora.models import ImportFormat

FORMATS: Final[dict[str, Format]] = {
    ImportFormat.CRASHCHAT: crashchat.FORMAT,
    ImportFormat.DEMO: demo.FORMAT,
    ImportFormat.FOLDER: folder.FORMAT,
    ImportFormat.MMAU: mmau.FORMAT,
    ImportFormat.NEXAR: nexar.FORMAT,
    ImportFormat.TABLE: table.FORMAT,
    ImportFormat.LABELSTUDIO: labelstudio.FORMAT,
}
