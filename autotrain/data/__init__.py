"""Data: from a table of any kind to encoded rows, split into training, validation and test.

`load_dataset` (loading.py) is the entry point of a study. A table passes through these files:

    files.py       finds the reader of a source: text_tables.py, array_files.py, arrow_tables.py or
                   public_sets.py → one `RawTable`
    labelled.py    takes out the target and drops the rows without one
    columns.py     infers the kind of each column; number_columns.py and numerals.py read formatted
                   numbers, zones.py times
    targets.py     infers the task and encodes the target
    splitting.py   splits the rows; weights.py reads their weights
    fitting.py     fits the preprocessing on the training rows of each fold
    encoded.py     the encoded rows of a fold; preprocessing.py encodes them, in training and in a
                   loaded bundle, with NumPy alone
    dataset.py     the result, a `Dataset`

`values.py` converts the cells of a column, `inputs.py` opens the rows of a prediction. `leaks.py`,
`lookalikes.py` and `repeats.py` warn about tables that give misleading results. To add a source,
write a reader that returns a `RawTable` and call it in `read_table`.
"""
