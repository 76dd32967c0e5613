"""The techniques that a search can choose from: one file per kind, one table per file.

A technique is a row of a table (`technique.table`): its name, formula, hyperparameters
(`technique.Parameter`) and the functions or properties that its kind needs. The functions are pure
and act on K networks at once; most take tensors with the slots as first axis. The tables feed the
search spaces (`autotrain.space`), the configurations, docs/techniques.md and the contract tests, so
that a new row appears everywhere under its name.

How the techniques act in one network, in order: `missing`, `scalers` and `encoders` encode the rows
(a `View`); `embeddings` and `input_scales` form the input layer; `initializers` and
`parametrizations` give the weights, `normalization`, `activations` and `dropout` the hidden layers;
`losses` and `regularizers` the objective; `clipping`, `optimizers`, `schedules`, `decay` and
`constraints` the step; `annealing` the strength of decay and dropout over time; `targets` the
range of predictions.

Files do not import each other, except for `technique.py` and `annealing.py`.
"""
