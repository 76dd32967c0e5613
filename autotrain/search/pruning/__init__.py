"""Pruning: which trials are stopped before their last epoch.

The default is performance pruning, a rule without Optuna: `plateaus.py` decides from the validation
losses of a trial and of the trials before it, and is a pure function. Trials are compared fold by
fold, each time the loss of one has not improved for some epochs. The search asks the rule itself,
because one trial may be several trainings at once. `comparison.py` keeps the losses of all trials
sorted, so that the rule takes constant time per epoch. Optuna's own pruners see a trial's learning
curve in the storage and nothing else.

`PRUNERS` (pruners.py) has one row for each pruner, with the options that a user may set. To add an
Optuna pruner, add a row.
"""
