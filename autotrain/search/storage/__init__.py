"""Storage: where the trials of a study are kept, and who may write them.

`open_storage` (open.py) opens a study's storage for the one process that writes, and locks the
study's folder (`lock.py`). `read_storage` opens it for readers, which neither lock nor change it.
The default is a journal file in the folder (`journal.py`), an Optuna journal with buffered writes.
Other storages are databases with a URL: one row of `SCHEMES` each, whose URLs and secrets `urls.py`
checks. All are Optuna storages with `commit`, `close` and `abandon` in addition (`OpenStorage` in
opened.py; the kinds are in storages.py, and Redis in redis_journal.py). During a search a
`BufferedStorage` (buffered.py) keeps the study in memory (buffer.py) and writes the changes of all
running trials together (writers.py, rows.py). `SharedStorage` (shared.py) wraps those with a URL:
it waits for a server that is not reachable (`failures.py`), and a `Claim` (claim.py) makes this
process the only writer, also if another machine has a copy of the folder.

To add a storage, add a row to `SCHEMES` with the driver's package. A storage that is no SQL
database also needs a class derived from `OpenStorage`, and a `TrialWriter` to be written together.
"""
