"""The folder of a bundle contains the old bundle or the new one at any time."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autotrain.bundle import encode, publishing, read_bundle
from autotrain.bundle.publishing import (
    CARD,
    RECORD,
    TENSORS,
    discard,
    opened,
    publish,
    stage,
)
from autotrain.bundle.systems import exchange_folders
from autotrain.errors import BundleError, StorageError
from tests.winners import random_bundle, save

# Both ways of swapping folders: what this system can, and what it does without.
EXCHANGES = {"exchange": exchange_folders, "two renames": lambda a, b: False}
both_ways = pytest.mark.parametrize("way", EXCHANGES)


def files_of(word: str) -> dict[str, bytes]:
    return {RECORD: f"record {word}".encode(), TENSORS: f"tensors {word}".encode()}


def read(folder: Path) -> list[bytes]:
    with opened(folder, (RECORD, TENSORS)) as files:
        return [file.read() for file in files.values()]


def put(folder: Path, word: str, way: str = "exchange") -> Path:
    return publish(stage(folder, files_of(word)), folder, EXCHANGES[way])


@both_ways
def test_bundle_is_written_and_replaced(way: str, tmp_path: Path) -> None:
    folder = tmp_path / "studies" / "churn" / "best"
    assert put(folder, "one", way) == folder
    assert read(folder) == [b"record one", b"tensors one"]
    put(folder, "two", way)
    assert read(folder) == [b"record two", b"tensors two"]
    assert [entry.name for entry in folder.parent.iterdir()] == ["best"]


def test_nothing_is_seen_before_it_is_published(tmp_path: Path) -> None:
    folder = put(tmp_path / "best", "one")
    staged = stage(folder, files_of("two"))
    assert read(folder) == [b"record one", b"tensors one"]
    discard(staged)
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


@both_ways
def test_replacing_removes_old_files_and_keeps_those_of_the_user(way: str, tmp_path: Path) -> None:
    folder = put(tmp_path / "best", "one")
    (folder / CARD).write_bytes(b"of the old one")
    (folder / "remarks.txt").write_text("mine")
    put(folder, "two", way)
    assert sorted(entry.name for entry in folder.iterdir()) == [RECORD, TENSORS, "remarks.txt"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


@both_ways
def test_readers_see_one_whole_bundle_while_it_is_replaced(way: str, tmp_path: Path) -> None:
    folder = tmp_path / "best"
    bundles = [random_bundle(seed=seed) for seed in (1, 2)]
    expected = {bundle.members[0].parameters.tobytes() for bundle in bundles}
    save(bundles[0], folder)
    stop, seen, errors = threading.Event(), set(), []

    def keep_reading() -> None:
        while not stop.is_set():
            try:
                seen.add(read_bundle(folder).members[0].parameters.tobytes())
            except Exception as error:
                errors.append(error)

    readers = [threading.Thread(target=keep_reading) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(30):
        publish(stage(folder, encode(bundles[turn % 2])), folder, EXCHANGES[way])
    stop.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert seen == expected


WRITER = """
import importlib.util
import sys
from pathlib import Path
# The file alone: its package would load torch, which takes seconds.
spec = importlib.util.spec_from_file_location("publishing", sys.argv[3])
publishing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(publishing)
exchange = None if sys.argv[2] == "exchange" else lambda a, b: False
folder, words = Path(sys.argv[1]), ("one", "two")
print("ready", flush=True)
turn = 0
while True:
    word, turn = words[turn % 2], turn + 1
    files = {name: f"{name} {word}".encode() for name in (publishing.RECORD, publishing.TENSORS)}
    publishing.publish(publishing.stage(folder, files), folder, exchange)
    if turn == 1:
        print("written", flush=True)
"""


@both_ways
def test_kill_at_any_time_leaves_a_whole_bundle(way: str, tmp_path: Path) -> None:
    folder = tmp_path / "best"
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), way, str(publishing.__file__)],
            cwd=Path(__file__).resolve().parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        with writer, writer.stdout:
            assert writer.stdout.readline() == "ready\n"
            assert writer.stdout.readline() == "written\n"
            for _ in range(20):
                read(folder)
            writer.kill()
        record, tensors = read(folder)
        assert record.split()[1] == tensors.split()[1]
    put(folder, "three")
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


def test_bundle_is_read_and_restored_after_a_kill_between_two_renames(tmp_path: Path) -> None:
    folder = put(tmp_path / "best", "one")
    (folder / "remarks.txt").write_text("mine")
    stage(folder, files_of("two"))
    folder.rename(tmp_path / ".best.old")
    assert read(folder) == [b"record one", b"tensors one"]
    put(folder, "three")
    assert read(folder) == [b"record three", b"tensors three"]
    assert (folder / "remarks.txt").read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


def test_remains_of_a_kill_after_the_exchange_are_removed(tmp_path: Path) -> None:
    folder = put(tmp_path / "best", "one")
    old = tmp_path / ".best.new"
    shutil.copytree(folder, old)
    (old / "remarks.txt").write_text("mine")
    put(folder, "two")
    assert read(folder) == [b"record two", b"tensors two"]
    assert (folder / "remarks.txt").read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


def test_link_to_a_bundle_stays_a_link(tmp_path: Path) -> None:
    folder = put(tmp_path / "real", "one")
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert put(link, "two") == folder
    assert link.is_symlink()
    assert read(link) == read(folder) == [b"record two", b"tensors two"]


def test_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(StorageError, match=r"must be a new folder or a bundle.*chapter\.txt"):
        stage(tmp_path / "thesis", files_of("one"))
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="got a file"):
        stage(tmp_path / "file", files_of("one"))


def test_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert read(put(tmp_path / "empty", "one")) == [b"record one", b"tensors one"]


def test_unwritable_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="must be writable"):
        stage(tmp_path / "file" / "best", files_of("one"))


def test_error_names_the_missing_part(tmp_path: Path) -> None:
    for name in ("nowhere", "no\0where", "\ud800"):
        with pytest.raises(BundleError, match="got nothing"):
            read(tmp_path / name)
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="got a file"):
        read(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(BundleError, match=r"got none with bundle\.json"):
        read(tmp_path / "folder")
    put(tmp_path / "folder" / "best", "one")
    with pytest.raises(BundleError, match=r"got a study\. Its bundle is .*folder/best"):
        read(tmp_path / "folder")
    half = put(tmp_path / "half", "one")
    (half / TENSORS).unlink()
    with pytest.raises(BundleError, match=r"got none with model\.safetensors"):
        read(half)
