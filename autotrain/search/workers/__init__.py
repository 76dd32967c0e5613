"""Workers: where networks are trained.

The search loop sends commands to a worker and receives messages (`protocol.py`): it admits slots,
stops them, and gets an `EpochReport` for each epoch and an `Outcome` at the end. Workers never open
the study's storage. Each worker runs a `Training` (`training.py`): a `Trainer` of
`autotrain.training` that turns its own errors into messages. `inline.py` trains in the process of
the search, one epoch for each request, so that the order of events is always the same.
`processes.py` starts one process per core or GPU and shares the rows with them through files that
are mapped into memory.

To train elsewhere, for example on other machines, write a class with the methods of
`protocol.Worker`; the loop needs nothing else.
"""
