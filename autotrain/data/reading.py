"""How another text file of the same table is to be read, where the file leaves it open.

A few rows may not show what the training table showed: "007" may look like a number, and "1,000"
like one or like a thousand. A bundle keeps what was found.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

DECIMAL, THOUSANDS = "decimal", "thousands"


@dataclass(frozen=True)
class Reading:
    """What is known of a table before one of its files is read.

    Args:
        texts: columns that are texts, whatever they hold.
        commas: what a comma in a number is where that is open: DECIMAL or THOUSANDS; empty when
            it is not known.
    """

    texts: Collection[str] = ()
    commas: str = ""


UNKNOWN = Reading()
