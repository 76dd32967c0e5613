"""Sampling: where the next trial is tried.

`make_sampler` (samplers.py) returns an Optuna sampler by its name. It is seeded for each trial from
the study's seed and the trial's number, so that a resumed study continues as if it had not been
interrupted. Some samplers are changed: `grouped_tpe.py` is TPE for parameters that depend on
choices, and `replayed_cmaes.py` is CMA-ES without a pickled state in the storage.

Two samplers wrap the chosen one (`wrapped.py`). `allowed.py` rejects values after which no
combination that the space allows is left. `untried.py` draws only configurations that were not
tried yet, in spaces small enough to list. `LearnedStudy` is the view of the study that samplers
learn from.

To add a sampler, add a row to the table in `samplers.py`.
"""
