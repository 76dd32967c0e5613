"""Search spaces: which configurations a search may try.

`SearchSpace` (search_space.py) is the entry point. A space passes through these files:

    reading.py     a TOML file, shipped name or dictionary → one `WrittenSpace`, with `extends`
                   followed (merging.py); shipped.py finds the files
    checking.py    sections (section_checking.py), forbids (rules.py), baselines (baselines.py) and
                   `[[when]]` blocks (conditions.py) → one `SpaceDefinition` (definition.py)
    resolving.py   the data are known: blocks that apply are merged, "auto" (auto.py) is replaced
    suggesting.py  asks a trial for every parameter that has an effect → `TrialConfig` (config.py)

`sections.py` lists all sections, techniques and parameters; everything else reads that table.
`values.py` parses single values and domains (domains.py), `naming.py` converts names between files
and Optuna. `forbidding.py` answers which combinations are allowed, `finite.py` lists all
configurations of a finite space. `writing.py` writes a space, `describing.py` draws it as a tree
and `notices.py` warns about spaces that are legal but probably not intended. `fixed.py` reads a
single configuration.
"""
