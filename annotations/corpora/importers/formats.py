"""Every format that can be imported, by its name in the database.

A new one is a module of this folder with a FORMAT, and a line here.
"""

from typing import Final

from annotations.corpora.importers import (
    a3d,
    cadp,
    ccd,
    crashchat,
    demo,
    dota,
    folder,
    labelstudio,
    mmau,
    nexar,
    scad,
    table,
)
from annotations.corpora.importers.reading import Format
from annotations.corpora.models import ImportFormat

FORMATS: Final[dict[str, Format]] = {
    ImportFormat.CRASHCHAT: crashchat.FORMAT,
    ImportFormat.DEMO: demo.FORMAT,
    ImportFormat.FOLDER: folder.FORMAT,
    ImportFormat.CCD: ccd.FORMAT,
    ImportFormat.DOTA: dota.FORMAT,
    ImportFormat.A3D: a3d.FORMAT,
    ImportFormat.CADP: cadp.FORMAT,
    ImportFormat.SCAD: scad.FORMAT,
    ImportFormat.MMAU: mmau.FORMAT,
    ImportFormat.NEXAR: nexar.FORMAT,
    ImportFormat.TABLE: table.FORMAT,
    ImportFormat.LABELSTUDIO: labelstudio.FORMAT,
}
