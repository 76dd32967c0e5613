"""`TrialRows`: writes trials to an SQL database in one transaction, in Optuna's tables.

Optuna's own calls take a transaction for each parameter, attribute and point. The statements here
write the same rows. They use Optuna's models, so `fits` must be true: an Optuna version with other
columns is written through its own calls (`ordinary.py`).

A change that does not end a trial needs no sync of the server's disk: if the server fails, this
process still has the trial, and writes a row that was lost again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy
from optuna.distributions import distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from autotrain.errors import StorageError
from autotrain.search.storage.buffer import Change, ended_elsewhere

COLUMNS = {
    "trials": ("trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"),
    "trial_params": ("param_id", "trial_id", "param_name", "param_value", "distribution_json"),
    "trial_user_attributes": ("trial_user_attribute_id", "trial_id", "key", "value_json"),
    "trial_system_attributes": ("trial_system_attribute_id", "trial_id", "key", "value_json"),
    "trial_values": ("trial_value_id", "trial_id", "objective", "value", "value_type"),
    "trial_intermediate_values": (
        "trial_intermediate_value_id",
        "trial_id",
        "step",
        "intermediate_value",
        "intermediate_value_type",
    ),
}
"""The columns that this module writes."""
Rows = list[dict[str, Any]]
_ADVANCE = """
SELECT setval(name, greatest((SELECT max(trial_id) FROM trials), pg_sequence_last_value(name)))
FROM CAST(pg_get_serial_sequence('trials', 'trial_id') AS regclass) AS name
"""


def fits() -> bool:
    """Whether the installed Optuna has the tables that this module writes."""
    tables = models.BaseModel.metadata.tables
    return all(
        name in tables and tuple(column.name for column in tables[name].columns) == columns
        for name, columns in COLUMNS.items()
    )


class TrialRows:
    """The trials of a database.

    Args:
        storage: Optuna's storage of the database.
    """

    def __init__(self, storage: RDBStorage) -> None:
        self._storage = storage
        self._engine = storage.engine
        self._dialect = storage.engine.dialect.name
        tables = models.BaseModel.metadata.tables
        studies, self._trials = tables["studies"].c, tables["trials"]
        # Statements are made once, because SQLAlchemy takes longer to make than to execute one.
        trials = self._trials.c
        unsynced: tuple[sqlalchemy.ColumnElement[Any], ...] = ()
        if self._dialect == "postgresql":
            unsynced = (sqlalchemy.func.set_config("synchronous_commit", "off", True),)
        is_study = trials.study_id == bindparam("study_id")
        is_later = trials.trial_id > bindparam("last_id")
        is_one = trials.trial_id.in_(bindparam("ids", expanding=True))
        self._lock = (
            select(studies.study_id, *unsynced)
            .where(studies.study_id == bindparam("study_id"))
            .with_for_update()
        )
        self._n_later = select(sqlalchemy.func.count()).where(is_study, is_later)
        self._states = {
            True: select(trials.trial_id, trials.state).where(is_one).with_for_update(),
            False: select(trials.trial_id, trials.state, *unsynced).where(is_one).with_for_update(),
        }
        """Queries of the states of trials, by whether the transaction must be durable."""
        self._candidates = select(trials.trial_id, trials.state).where(
            is_study, sqlalchemy.or_(is_later, is_one)
        )
        self._insert = self._trials.insert()
        self._update = self._trials.update().where(trials.trial_id == bindparam("ended_id"))
        self._update = self._update.values(
            state=bindparam("state"), datetime_complete=bindparam("datetime_complete")
        )
        self._params = self._upsert("trial_params", "trial_id", "param_name")
        self._attributes = {
            kind: self._upsert(f"trial_{kind}_attributes", "trial_id", "key")
            for kind in ("user", "system")
        }
        self._points = self._upsert("trial_intermediate_values", "trial_id", "step")
        self._values = self._upsert("trial_values", "trial_id", "objective")

    def begin(
        self, study_id: int, after: tuple[int, int], system_attrs: Mapping[str, Any]
    ) -> FrozenTrial:
        """Create a running trial without parameters, and return it.

        Args:
            study_id: Optuna's number of the study.
            after: Optuna's number of a trial of the study (-1: none), and the number of trials up
                to that one.
            system_attrs: system attributes of the trial.
        """
        last_id, n_before = after
        now = datetime.now()
        study = {"study_id": study_id}
        with self._transaction(is_durable=False) as connection:
            # Optuna locks the study in the same way, so two processes never use one number.
            if connection.execute(self._lock, study).first() is None:
                raise KeyError(models.NOT_FOUND_MSG)
            n_later = connection.execute(self._n_later, {**study, "last_id": last_id}).scalar_one()
            number = n_before + int(n_later)
            row = {"number": number, "state": TrialState.RUNNING, "datetime_start": _utc(now)}
            created = connection.execute(self._insert, {**study, **row})
            trial = create_trial(state=TrialState.RUNNING, system_attrs=dict(system_attrs))
            (trial._trial_id,) = created.inserted_primary_key or (-1,)
            self._write_rows(connection, [Change(trial._trial_id, system_attrs=trial.system_attrs)])
        trial.number, trial.datetime_start = number, now
        return trial

    def write(
        self, changes: Sequence[Change], whole: Mapping[int, FrozenTrial], study_id: int
    ) -> None:
        """Write changes of running trials in one transaction.

        Args:
            changes: the changes of different trials.
            whole: the running trials, to write one again that the server has lost.
            study_id: Optuna's number of their study.
        Raises:
            UpdateFinishedTrialError: when another process has ended a trial; nothing is written.
            StorageError: when a trial is missing, and its number is used.
        """
        is_durable = any(change.end is not None for change in changes)
        ids = [change.trial_id for change in changes]
        with self._transaction(is_durable=is_durable) as connection:
            rows = connection.execute(self._states[is_durable], {"ids": ids})
            states = {row.trial_id: row.state for row in rows}
            for trial_id, state in states.items():
                if state.is_finished():
                    raise ended_elsewhere(whole[trial_id])
            missing = [whole[trial_id] for trial_id in ids if trial_id not in states]
            if missing:
                self._create_again(connection, missing, study_id)
            self._write_rows(connection, changes)

    def news(
        self, study_id: int, last: tuple[int, int], known: Mapping[int, TrialState]
    ) -> list[FrozenTrial]:
        """Return trials that other processes have created, begun or ended.

        Args:
            study_id: Optuna's number of the study.
            last: Optuna's number of the last known trial (-1: none), and the number of trials.
            known: states of known trials that can have changed.
        """
        last_id = last[0]
        values = {"study_id": study_id, "last_id": last_id, "ids": list(known)}
        with self._engine.connect() as connection:
            rows = connection.execute(self._candidates, values).all()
        new = {row[0] for row in rows if known.get(row[0]) != row[1]}
        if not new:
            return []
        found = self._storage._get_trials(study_id, None, new, last_id)
        return sorted(found, key=lambda trial: trial.number)

    @contextmanager
    def _transaction(self, *, is_durable: bool) -> Iterator[Connection]:
        """Begin a transaction; if it is not durable, a failure of the machine can undo it."""
        with self._engine.connect() as connection:
            if not is_durable and self._dialect == "sqlite":
                with _without_sync(connection), connection.begin():
                    yield connection
                return
            with connection.begin():
                yield connection

    def _write_rows(self, connection: Connection, changes: Iterable[Change]) -> None:
        params: Rows = []
        attributes: dict[str, Rows] = {"user": [], "system": []}
        points: Rows = []
        for change in changes:
            trial = {"trial_id": change.trial_id}
            params += [
                {
                    **trial,
                    "param_name": name,
                    "param_value": float(value),
                    "distribution_json": distribution_to_json(kind),
                }
                for name, (value, kind) in change.params.items()
            ]
            for kind, attrs in (("user", change.user_attrs), ("system", change.system_attrs)):
                attributes[kind] += [
                    {**trial, "key": key, "value_json": json.dumps(value)}
                    for key, value in attrs.items()
                ]
            points += [
                {**trial, "step": step, **_point(value)}
                for step, value in change.intermediate_values.items()
            ]
        self._write_into(connection, self._params, params)
        for kind, rows in attributes.items():
            self._write_into(connection, self._attributes[kind], rows)
        self._write_into(connection, self._points, points)
        self._end(connection, changes)

    def _end(self, connection: Connection, changes: Iterable[Change]) -> None:
        ends = [(change.trial_id, change.end) for change in changes if change.end is not None]
        values = [
            {"trial_id": trial_id, "objective": objective, **_value(value)}
            for trial_id, end in ends
            for objective, value in enumerate(end.values or ())
        ]
        self._write_into(connection, self._values, values)
        states = [
            {"ended_id": trial_id, "state": end.state, "datetime_complete": _utc(end.at)}
            for trial_id, end in ends
        ]
        if states:
            connection.execute(self._update, states)

    def _create_again(
        self, connection: Connection, missing: Collection[FrozenTrial], study_id: int
    ) -> None:
        """Insert trials that the server has lost, with their numbers."""
        trials = self._trials.c
        numbers = [trial.number for trial in missing]
        used = select(trials.number).where(trials.study_id == study_id, trials.number.in_(numbers))
        if connection.execute(used).first() is not None:
            raise StorageError(
                f"trials {', '.join(map(str, numbers))} must be in the database, but it has lost "
                "them and another program has created trials since. Resume the study."
            )
        rows = [
            {
                "trial_id": trial._trial_id,
                "number": trial.number,
                "study_id": study_id,
                "state": TrialState.RUNNING,
                "datetime_start": trial.datetime_start and _utc(trial.datetime_start),
            }
            for trial in missing
        ]
        connection.execute(self._insert, rows)
        if self._dialect == "postgresql":
            # The numbers that the sequence has given since may be lost, too.
            connection.exec_driver_sql(_ADVANCE)
        self._write_rows(connection, list(map(Change.whole, missing)))

    def _upsert(self, name: str, *key: str) -> sqlalchemy.Insert:
        """Return a statement that inserts a row, or updates the row with the same key.

        A transaction whose answer was lost can therefore be repeated.
        """
        table = models.BaseModel.metadata.tables[name]
        changed = [c for c in COLUMNS[name] if c not in key and not table.c[c].primary_key]
        if self._dialect == "mysql":
            change = mysql.insert(table)
            return change.on_duplicate_key_update({c: change.inserted[c] for c in changed})
        # Both dialects have the same methods.
        insert = (postgresql if self._dialect == "postgresql" else sqlite).insert(table)
        if self._dialect == "postgresql":
            # psycopg would send a statement for each row.
            columns = [table.c[c] for c in COLUMNS[name] if not table.c[c].primary_key]
            document = bindparam("rows", type_=postgresql.JSON)
            rows = sqlalchemy.func.json_to_recordset(document).table_valued(
                *(sqlalchemy.column(c.name, c.type) for c in columns)
            )
            insert = insert.from_select(columns, select(*rows.render_derived(with_types=True).c))
        return insert.on_conflict_do_update(
            index_elements=list(key), set_={c: insert.excluded[c] for c in changed}
        )

    def _write_into(self, connection: Connection, table: sqlalchemy.Insert, rows: Rows) -> None:
        if rows and self._dialect == "postgresql":
            connection.execute(table, {"rows": rows})
        elif rows:
            connection.execute(table, rows)


@contextmanager
def _without_sync(connection: Connection) -> Iterator[None]:
    """Make SQLite commit without a sync of the disk, until the next commit with one."""
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute("PRAGMA synchronous = NORMAL").close()
    try:
        yield
    finally:
        driver.execute("PRAGMA synchronous = FULL").close()


def _point(value: float) -> dict[str, Any]:
    stored, kind = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(
        float(value)
    )
    return {"intermediate_value": stored, "intermediate_value_type": kind.name}


def _value(value: float) -> dict[str, Any]:
    stored, kind = models.TrialValueModel.value_to_stored_repr(float(value))
    return {"value": stored, "value_type": kind.name}


def _utc(local: datetime) -> datetime:
    """Return a local time as Optuna stores it: in UTC, without a time zone."""
    return local.astimezone(UTC).replace(tzinfo=None)
