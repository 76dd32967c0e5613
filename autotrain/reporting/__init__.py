"""Reports of studies: during a search, afterwards in the terminal, and in the browser.

`make_observer` (display.py) shows the progress of a running search on stderr. The other files read
what a study has stored and change nothing: `status.py` the state of one or all studies, and
`trial.py` one trial with its learning curve and diagnostics, and `trials_table.py` all trials as a
table. They return plain data, which the command line formats. `results.py` has the methods of
`Study` that return its trials, its winner and the exported model. `dashboard.py` serves
optuna-dashboard with read-only access to a study, whose trials `dashboard_storage.py` makes
smaller. `report/` writes the report of a study as one HTML file.

To show a new fact about a trial, define its attribute in `search/attributes.py`, add a field to
`TrialReport`, and print it in `cli/trial_text.py`.
"""
