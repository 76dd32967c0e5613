"""The search: trials are sampled, trained by workers, pruned, recorded and compared.

`run.py` is one run of a study and `launch.py` builds its parts. `loop.py` is the only code that
talks to workers and writes to the study: it passes the state of the search to
`scheduler.next_action`, carries out the answer, and passes each message of a worker to the training
it belongs to (`training_run.py`; its kinds are in `runs.py`). `recorder.py` and `trial_store.py`
write what a training's end means for the study. `finals.py` trains the best trials again from other
seeds and chooses the winner (`winner.py`), whose weights are in `checkpoints.py`. `opening.py`
opens a study that exists and checks that its settings are the same; `widening.py` gives it a wider
space. `callbacks.py` calls the user's functions after each trial, and `progress_of.py` describes
the search for the displays. `saving.py` writes snapshots of a running search (`snapshot.py`), from
which `continuing.py` continues after a kill.

The folders contain what can be exchanged: `sampling` (where the next trial is tried), `pruning`
(which trials stop early), `storage` (where trials are kept) and `workers` (where networks train).
The search does not know the export; it calls a `publisher.Publisher`.
"""
