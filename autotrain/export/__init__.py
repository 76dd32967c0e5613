"""Export: from the trained networks of a study to a bundle in its folder `best/`.

`BestModel` (best_model.py) is the entry point. The search calls it through the protocol
`search/publisher.py`, whenever a new best trial completes and at the end of a run. An export takes
these steps:

    winner.py        chooses the model, once the finals have retrained the best trials
    ensemble.py      chooses several trials by their out-of-fold predictions, if the study asks
    members.py       makes one member per fold of a trial, with the fold's preprocessing
    calibration.py   fits temperature, noise and conformal thresholds on rows that the networks did
                     not train on
    writer.py        writes the bundle (autotrain.bundle), reads it back, checks it against the
                     training records (checks.py) and publishes it
    deciding.py      chooses the decision threshold again, if the study has one
    scoring.py       adds test scores, the reason of the choice and a new decision threshold
    costs.py         estimates the time of these steps, which a run reserves

`origin.py` identifies the trial that a bundle comes from. `onnx.py` converts a finished bundle to
ONNX graphs. To export something new with each model, add a field to `bundle/record.py` and fill it
in `writer.py`.
"""
