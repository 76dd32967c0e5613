"""The report of a study: one HTML file with tables and figures.

`facts.py` computes everything that is shown, as plain data: from trials (`trials.py`), from the
scores of simpler models (`scores.py`) and from the predictions of the test rows (`model.py`).
`summary.py` makes sentences of the facts, `figures.py` Plotly figures, and `page.py` the page.
`written.py` writes the file and displays it in notebooks.

To add a section, add its facts, a section in `page.html` and its title to `page.SECTIONS`.
"""
