"""The exported model as a folder without pickle: read, verify, write.

record.py defines a bundle, checking.py checks the fields of its record, files.py encodes and
verifies its bytes, publishing.py replaces the folder atomically, selection.py explains the choice
of the model and card.py writes the model card. own_files.py opens all files under fixed names and
follows no links; while a disk is full, a search waits in full_disk.py.
temporary.py makes folders that are removed also after a kill. systems.py has the calls that some
systems lack.
"""

from autotrain.bundle.files import FORMAT_VERSION, copy_bundle, encode, read_bundle
from autotrain.bundle.publishing import (
    CARD,
    FILES,
    RECORD,
    TENSORS,
    discard,
    publish,
    refuse_full,
    stage,
)
from autotrain.bundle.record import ENSEMBLE, SELECTION, Bundle, Member

__all__ = [
    "CARD",
    "ENSEMBLE",
    "FILES",
    "FORMAT_VERSION",
    "RECORD",
    "SELECTION",
    "TENSORS",
    "Bundle",
    "Member",
    "copy_bundle",
    "discard",
    "encode",
    "publish",
    "read_bundle",
    "refuse_full",
    "stage",
]
