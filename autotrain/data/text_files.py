"""Read the bytes of a text file: decompress them up to a limit, and check that they are UTF-8."""

from __future__ import annotations

import codecs
import re
import zlib
from pathlib import Path

import pyarrow as pa

from autotrain.data.memory import SHARE, available
from autotrain.errors import DataError

SAMPLE_BYTES = 1 << 18
MOST_RATIO = 200
"""Largest growth factor of a compressed file; `MOST_BEYOND` bytes are allowed in addition."""
MOST_BEYOND = 1 << 30
CHUNK_BYTES = 1 << 22
_MAGIC = {".gz": (b"\x1f\x8b", "gzip"), ".zst": (b"\x28\xb5\x2f\xfd", "zstd")}
_SEPARATOR_LINE = re.compile(
    rb'\A(?:\xef\xbb\xbf)?"?sep=([^"\r\n])"?[ \t]*(?=\r|\n)', re.IGNORECASE
)


def read_content(path: Path, most_beyond: int = MOST_BEYOND) -> bytes:
    """Return a file's text as UTF-8 bytes.

    Args:
        most_beyond: bytes that a decompressed file may have beyond `MOST_RATIO` times its size.
    Raises:
        DataError: when it is damaged, not UTF-8 text, or too large when decompressed.
    """
    content = _decompress(path, most_beyond)
    _check_utf8(path, content)
    return content


def take_separator(content: bytes) -> tuple[bytes, str]:
    """Return the content without a first line such as "sep=;", and the delimiter in that line.

    Spreadsheets write this line. An empty line remains, so that line numbers stay the same.
    """
    match = _SEPARATOR_LINE.match(content)
    if match is None:
        return content, ""
    return content[match.end() :], match[1].decode("ascii", "replace")


def _decompress(path: Path, most_beyond: int) -> bytes:
    ending = path.suffix.lower() if path.suffix.lower() in _MAGIC else ""
    raw = path.read_bytes()
    kind = next((kind for kind, (magic, _) in _MAGIC.items() if raw.startswith(magic)), "")
    if ending and ending != kind:
        raise DataError(
            f"{path} must be a {ending} file, but it starts with {raw[:4].hex(' ')}. "
            "Compress it again, or remove the ending if it is plain text."
        )
    if not kind:
        return raw
    most = most_bytes(len(raw), most_beyond)
    parts: list[bytes] = []
    size = 0
    try:
        with pa.input_stream(pa.BufferReader(raw), compression=_MAGIC[kind][1]) as stream:
            while part := stream.read(CHUNK_BYTES):
                parts.append(bytes(part))
                size += len(part)
                if size > most:
                    break
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise DataError(
            f"{path} must be a complete {kind} file, but reading failed "
            f"({str(error).rstrip('.')}). Copy or download it again."
        ) from None
    if size > most:
        raise DataError(
            f"{path}: the decompressed table must be at most {most / 1e9:.1f} GB ({MOST_RATIO} "
            f"times the file's {len(raw) / 1e6:.1f} MB and {most_beyond / 1e9:.1f} GB, or half of "
            "the free memory), got more. Decompress the file yourself if you trust it."
        )
    return b"".join(parts)


def most_bytes(size: int, most_beyond: int = MOST_BEYOND) -> int:
    """Return the maximum decompressed size in bytes of a file of `size` bytes."""
    free = available()
    most = MOST_RATIO * size + most_beyond
    return most if free is None else min(most, int(SHARE * free))


def _check_utf8(path: Path, content: bytes) -> None:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(
            f"{path} must be UTF-8 text, got UTF-16. "
            f"Convert it: iconv -f UTF-16 -t UTF-8 {path.name} > utf8.csv"
        )
    if b"\0" in content[:SAMPLE_BYTES]:
        raise DataError(
            f"{path} must be text, but byte {content.index(0)} is zero. "
            "This is not a CSV file. Save the table as CSV."
        )
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(content), SAMPLE_BYTES):
        piece = content[start : start + SAMPLE_BYTES]
        try:
            decoder.decode(piece, final=start + SAMPLE_BYTES >= len(content))
        except UnicodeDecodeError as error:
            # The decoder keeps the first bytes of a cut character, which may precede `start`.
            place = start + error.start - (len(error.object) - len(piece))
            line = content.count(b"\n", 0, place) + 1
            raise DataError(
                f"{path} must be UTF-8 text, but byte {place} (line {line}) is "
                f"0x{content[place]:02x}. Convert it: iconv -f LATIN1 -t UTF-8 {path.name} > "
                "utf8.csv"
            ) from None
