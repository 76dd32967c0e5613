"""The command line `autotrain`: one small file per command, without logic of its own.

`main.py` lists the commands in `COMMANDS` and loads a command's file only when it is used, so that
`--help` answers before torch is imported. A command parses its options (`options.py`,
`reading.py`), calls `autotrain.study`, the predictor or `autotrain.reporting`, and prints the
result as text or JSON (`printing.py`). `search.py`, `train.py` and `resume.py` share
`run_study.py`; `study_file.py` reads options of `search` from a file. `evaluate.py`, `predict.py`
and `export.py` share `bundles.py`, which finds a bundle by its name. `trial_text.py` writes a trial
for `show.py`.

The library's errors name Python parameters. `failures.py` names the options instead.

To add a command, write its file and add it to `COMMANDS`.
"""
