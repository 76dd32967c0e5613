"""The exported model as a folder that needs no pickle: read, verify, write.

record.py says what a bundle is, tensors.py names its arrays, files.py makes and checks the bytes,
publishing.py swaps the folder in at once, card.py writes the page for people.
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
