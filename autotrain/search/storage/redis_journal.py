"""An Optuna journal on a Redis server, with the keys of Optuna's `JournalRedisBackend`.

Optuna's class repeats a command whose answer was lost, which creates a trial twice. It also keeps
snapshots, which are pickles: someone with write access to the server could run code in all
processes that read them. Without them, opening a study with thousands of trials is slower.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from autotrain.errors import StorageError
from autotrain.search.storage.failures import UnreachableError
from autotrain.search.storage.opened import OpenStorage
from autotrain.search.storage.replay import ReplayedStorage
from autotrain.search.storage.storages import CONNECT_TIMEOUT_S, ReadOnly

NUMBER = ":log_number"
"""Key of the number of the last record."""
RECORD = ":log:"
"""Prefix of the keys of the records."""
CHUNK = 1000
ANSWER_TIMEOUT_S = 30
SET_STUDY_SYSTEM_ATTR = 3

# Appends records, all or none. With ARGV[1] it appends only if there are that many records.
_APPEND = """
local n = tonumber(redis.call('get', KEYS[1]) or '-1') + 1
if ARGV[1] ~= '' and tonumber(ARGV[1]) ~= n then return 0 end
for i = 2, #ARGV do
  redis.call('set', string.format('%s%d', KEYS[2], n), ARGV[i])
  n = n + 1
end
redis.call('set', KEYS[1], string.format('%d', n - 1))
return 1
"""


class RedisJournal(BaseJournalBackend):
    """The records of a Redis server.

    Args:
        url: `redis://` or `rediss://`.
    """

    def __init__(self, url: str) -> None:
        import redis.exceptions  # noqa: PLC0415 - an optional package
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415

        timeouts = {
            "socket_connect_timeout": CONNECT_TIMEOUT_S,
            "socket_timeout": ANSWER_TIMEOUT_S,
        }
        # The URL takes precedence.
        self.client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **timeouts)
        self.errors = (redis.RedisError,)
        self._refused = (redis.AuthenticationError, redis.exceptions.AuthorizationError)
        self._lost = (redis.ConnectionError, redis.TimeoutError)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the records from that number on."""
        records: list[dict[str, Any]] = []
        with self._reaching():
            n_records = int(self.client.get(NUMBER) or -1) + 1
            if n_records < log_number_from:
                raise _missing(log_number_from - n_records)
            for first in range(log_number_from, n_records, CHUNK):
                last = min(first + CHUNK, n_records)
                texts: list[Any] = self.client.mget([f"{RECORD}{n}" for n in range(first, last)])
                if None in texts:
                    raise _missing(texts.count(None))
                # One call is faster than one for each record.
                records += json.loads(b"[%s]" % b",".join(texts))
        return records

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, all or none."""
        self._append(logs, "")

    def append_after(self, n_records: int, log: dict[str, Any]) -> bool:
        """Append a record if the server has exactly this number of records."""
        return self._append([log], str(n_records))

    def _append(self, logs: list[dict[str, Any]], condition: str) -> bool:
        with self._reaching():
            texts = [json.dumps(log) for log in logs]
            return bool(self.client.eval(_APPEND, 2, NUMBER, RECORD, condition, *texts))

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except self._refused:
            raise
        except self._lost as error:
            raise UnreachableError(str(error)) from error


class RedisStorage(ReplayedStorage, OpenStorage):
    """Studies on a Redis server."""

    def __init__(self, url: str, reading: ReadOnly | None = None) -> None:
        self.url = url
        self._journal = RedisJournal(url.removeprefix("journal+"))
        self.errors = self._journal.errors
        super().__init__(self._journal)

    def swap(
        self, study_id: int, name: str, old: dict[str, Any] | None, new: dict[str, Any]
    ) -> bool:
        """Set a system attribute of a study if it has the value `old`."""
        with self._thread_lock:
            while True:
                self._sync_with_backend()
                found = self._replay_result
                if found.get_study(study_id).system_attrs.get(name) != old:
                    return False
                record = {
                    "op_code": SET_STUDY_SYSTEM_ATTR,
                    "worker_id": found.worker_id,
                    "study_id": study_id,
                    "system_attr": {name: new},
                }
                if self._journal.append_after(found.log_number_read, record):
                    self._sync_with_backend()
                    return True

    def close(self) -> None:
        """Close the connections."""
        self._journal.client.close()


def _missing(n_records: int) -> StorageError:
    return StorageError(
        f"the Redis server must keep all records of a study, but {n_records:,} are missing. Set "
        "`appendonly yes` and `maxmemory-policy noeviction` on the server, restore its data, then "
        "resume the study."
    )
