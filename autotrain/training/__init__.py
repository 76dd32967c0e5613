"""Trains many networks at once, in fleets of slots with equal batch size and padded width.

A `Trainer` (`trainer.py`) holds one `Fleet` per `fleet_key`; each call of `step` trains one of them
for an epoch. A `Fleet` (`fleet.py`) stacks the weights of its slots, runs the steps of an epoch and
evaluates it. One step (`step.py`) is a forward and backward pass of `autotrain.network`, followed
by penalties, clipping, update and constraints (grouped by `grouping.py`). A `Slot` (`slot.py`) is
one network between epochs: weights, random streams, schedule, counters. Slots join and leave a
fleet between epochs only; a new trial gets a new `Slot`.

`state.py` copies the state of a slot, so that a killed training can continue. `rows.py` has the
rows of all folds on the device. `initializing.py` completes a new slot with
values that depend on its training rows, `diagnostics.py` measures its health, `compiled.py` has
compiled kernels for the CPU, and `width.py` decides how many slots share a fleet.
"""
