"""Checks of the environment and of studies, and the repairs that lose nothing.

`check` (check.py) is the entry point; `autotrain doctor` prints its findings. A check returns
`Finding` objects (finding.py): a state, a sentence, the fix, and a repair where one is safe.
Nothing changes unless a repair is made.

    environment.py   versions, libraries, devices, cores
    disk.py          free space, folders of killed processes, the cache of compiled kernels
    journal.py       complete records of a damaged journal; journal_repair.py replaces the journal
    storage.py       whether the storage of a study is reachable, its schema and its latency
    study.py         the order of a study's checks, lost trials, trials of a killed search
    models.py        temporary files, checkpoints, and the exported model in `best/`
    overview.py      one finding for each study of a folder

`place.py` is the study to check.
"""
