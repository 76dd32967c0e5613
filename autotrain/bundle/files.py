"""The bytes of a bundle: `bundle.json` and `model.safetensors`, written and verified.

`bundle.json` contains the SHA-256 of the tensor file and of its own content, in canonical form, so
that white space does not matter. A changed byte is refused. No content of either file is executed.
A file whose size differs from the record is refused before it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from autotrain.bundle.card import model_card
from autotrain.bundle.checking import FieldError, check_fields
from autotrain.bundle.publishing import CARD, RECORD, TENSORS, opened, publish, refuse_full, stage
from autotrain.bundle.record import Bundle, Shapes, expected_tensors, from_json
from autotrain.errors import COPY_AGAIN, AutotrainError, BundleError

FORMAT = "autotrain bundle"
FORMAT_VERSION = 4
"""Increased whenever the meaning of a bundle changes. Bundles of other versions are refused."""
MOST_RECORD_BYTES = 64 << 20
MOST_DIGITS = 100
"""Largest number of digits of an integer: more than any seed has, and cheap to multiply."""
EXPORT_AGAIN = (
    "Another version of autotrain wrote this bundle. Export it again with this version, or use "
    "that one."
)
"""The fix for a bundle of another format."""
LINE_DEPTH = 5
"""Depth of the columns in a record: `members`, a member, `preprocessing`, `columns`, a column."""
HEADER_BYTES_A_TENSOR = 256
SHOWN = 400
"""Largest number of characters of a file's content in a message."""
_WRONG = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
)


def encode(bundle: Bundle) -> dict[str, bytes]:
    """Return the files of a bundle by name: record, tensors and model card."""
    tensors = save_tensors(bundle.tensors(), {"format": FORMAT})
    content = {"format": FORMAT, "format_version": FORMAT_VERSION, **bundle.to_json()}
    content["checksums"] = {TENSORS: _sha256(tensors)}
    content["checksums"][RECORD] = checksum_of(content)
    return {
        RECORD: _lines(content).encode("utf-8", "surrogatepass"),
        TENSORS: tensors,
        CARD: model_card(bundle).encode("utf-8", "replace"),
    }


def _lines(value: Any, depth: int = LINE_DEPTH, indent: str = "") -> str:
    """Return JSON with one line for each value at a depth, such as one for each column.

    With its argument `indent`, `json.dumps` does not use its C encoder and takes ten times as long.
    """
    if not depth or not value or not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    inner = indent + " "
    if isinstance(value, dict):
        items = [
            f"{json.dumps(name, ensure_ascii=False)}: {_lines(each, depth - 1, inner)}"
            for name, each in value.items()
        ]
    else:
        items = [_lines(each, depth - 1, inner) for each in value]
    start, end = "{}" if isinstance(value, dict) else "[]"
    between = f",\n{inner}"
    return f"{start}\n{inner}{between.join(items)}\n{indent}{end}"


def copy_bundle(bundle: Bundle, folder: Path) -> Path:
    """Write a bundle into a new or an empty folder and return the folder.

    Raises: StorageError when the folder is not empty or cannot be written.
    """
    refuse_full(folder)
    return publish(stage(folder, encode(bundle)), folder)


def checksum_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record without this checksum itself, keys sorted, no spaces.

    Raises: ValueError when the record contains a number that is not finite.
    """
    others = {name: value for name, value in content["checksums"].items() if name != RECORD}
    text = json.dumps(
        {**content, "checksums": others}, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return _sha256(text.encode("ascii"))


def read_bundle(folder: str | Path) -> Bundle:
    """Read and verify a bundle.

    Raises: BundleError when the bundle is incomplete, changed, of another version or invalid; the
        message names the file and the fix.
    """
    folder = Path(folder)
    with opened(folder, (RECORD, TENSORS)) as files:
        record = _read_record(files[RECORD], folder / RECORD)
        _check_counts(record, folder / TENSORS, _size_of(files[TENSORS]))
        expected = _expected(record, folder / RECORD)
        tensors = _read_tensors(files[TENSORS], folder / TENSORS, record, expected)
    try:
        return from_json(record, tensors)
    except (*_WRONG, AutotrainError) as error:
        raise _impossible(folder / RECORD, error) from error


def _read_record(file: BinaryIO, path: Path) -> dict[str, Any]:
    size = _size_of(file)
    if size > MOST_RECORD_BYTES:
        raise _refused(path, f"have at most {MOST_RECORD_BYTES} bytes", f"{size}")
    try:
        record = json.loads(file.read(size), parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise _refused(path, "be JSON", str(error)) from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise _refused(path, f'have "format": "{FORMAT}"', "another file")
    version = record.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        expected = f"have format version {FORMAT_VERSION}"
        raise _refused(path, expected, f"{version!r}, written by {_writer(record)}", EXPORT_AGAIN)
    try:
        own = checksum_of(record)
        recorded = record["checksums"][RECORD]
    except (*_WRONG, RecursionError) as error:
        raise _refused(path, "have a checksum", f"{type(error).__name__} {error}") from None
    if own != recorded:
        raise _refused(path, f"have SHA-256 {recorded}", f"{own}, so it was changed")
    return record


def _check_counts(record: Mapping[str, Any], path: Path, size: int) -> None:
    """Refuse more members and categorical columns than the tensor file has numbers.

    Each of them needs at least one number. Without this check, the layouts of a record of 64 MiB
    would take gigabytes before the size of the tensor file is compared.
    """
    with contextlib.suppress(KeyError, TypeError):  # `check_fields` reports these
        members = record["members"]
        count = len(members) + sum(len(member["columns"]["levels"]) for member in members)
        least = count * np.dtype(np.float32).itemsize
        if least > size:
            what = f"have at least {least} bytes for {count} members and categorical columns"
            raise _refused(path, what, f"{size}")


def _expected(record: Mapping[str, Any], path: Path) -> Shapes:
    try:
        check_fields(record)
        return expected_tensors(record)
    except FieldError as error:
        raise _refused(path, f"have {error.expected}", error.got) from None
    except (*_WRONG, AutotrainError) as error:
        raise _impossible(path, error) from error


def _read_tensors(
    file: BinaryIO, path: Path, record: Mapping[str, Any], expected: Shapes
) -> dict[str, np.ndarray]:
    size = _size_of(file)
    least = sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in expected.values())
    most = least + HEADER_BYTES_A_TENSOR * (len(expected) + 1)
    if not least <= size <= most:
        raise _refused(path, f"have {least} to {most} bytes", f"{size}")
    content = file.read(size)
    recorded, own = record["checksums"].get(TENSORS), _sha256(content)
    if own != recorded:
        raise _refused(path, f"have SHA-256 {recorded}", f"{own}, so it was changed")
    try:
        tensors = load_tensors(content)
    except (SafetensorError, *_WRONG) as error:
        raise _refused(path, "be a safetensors file", str(error)) from error
    for name in sorted(expected.keys() ^ tensors.keys()):
        what = "have no tensor" if name in tensors else "have the tensor"
        raise _refused(path, f"{what} {name}", "other names", EXPORT_AGAIN)
    for name, (shape, kind) in sorted(expected.items()):
        _check_tensor(path, name, tensors[name], f"{kind} {list(shape)}")
    return tensors


def _check_tensor(path: Path, name: str, tensor: np.ndarray, wanted: str) -> None:
    """Refuse a tensor of another type or shape, or with impossible numbers."""
    found = f"{tensor.dtype} {list(tensor.shape)}"
    if wanted != found:
        raise _refused(path, f"have {wanted} as {name}", found)
    if not np.isfinite(tensor).all():
        raise _refused(path, f"have finite numbers in {name}", "NaN or infinity")
    if name.endswith("moving_variance") and (tensor < 0).any():
        raise _refused(path, f"have variances of at least 0 in {name}", "negative ones")


def _integer(digits: str) -> int:
    """Return an integer; refuse one whose products would be expensive."""
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"an integer of {len(digits)} characters")
    return int(digits)


def _size_of(file: BinaryIO) -> int:
    return file.seek(0, 2) - file.seek(0)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _writer(record: Mapping[str, Any]) -> str:
    """Return the version of autotrain that wrote a record."""
    versions = record.get("versions")
    version = versions.get("autotrain") if isinstance(versions, dict) else None
    return f"autotrain {version}" if isinstance(version, str) else "another version of autotrain"


def _refused(path: Path, expected: str, got: str, fix: str = COPY_AGAIN) -> BundleError:
    expected, got = (
        text if len(text) <= SHOWN else f"{text[:SHOWN]} …" for text in (expected, got)
    )
    return BundleError(f"{path} must {expected}, got {got}. {fix}")


def _impossible(path: Path, error: Exception) -> BundleError:
    if isinstance(error, AutotrainError):
        return _refused(path, "describe a valid model", str(error).rstrip("."))
    what = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else f"{error}"
    return _refused(path, "describe a valid model", what)
