"""Check the sections and forbids of a space that was read.

`checking.py` calls this for the space itself and for each `[[when]]` block over it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from autotrain.errors import unknown
from autotrain.space.auto import AUTO_VALUES
from autotrain.space.baselines import Candidate, fit_baseline
from autotrain.space.definition import Baseline, Forbid, SectionSpace, default_row
from autotrain.space.domains import Domain, Fixed, Range
from autotrain.space.forbidding import Forbids, Sections
from autotrain.space.naming import mistake
from autotrain.space.reading import WrittenSpace
from autotrain.space.rules import check_forbids
from autotrain.space.sections import SECTIONS, Section, unknown_key, unknown_parameter, where_else
from autotrain.space.values import AUTO, listed, middle, parse_domain, show
from autotrain.techniques.technique import Parameter

OTHER_WORDS = ("extends", "forbid", "baseline", "when")


@dataclass(frozen=True)
class CheckedSections:
    """The checked sections and forbids of a space, with the mistakes that were found.

    Args:
        sections: domains, with defaults where they are wrong.
        forbids: own and inherited forbids.
        broken: names whose domains are wrong; later checks skip them.
        mistakes: the mistakes.
    """

    sections: Sections
    forbids: tuple[Forbid, ...]
    broken: Set[str]
    mistakes: tuple[str, ...]

    @cached_property
    def rules(self) -> Forbids:
        """The forbids, compiled."""
        return Forbids(self.sections, self.forbids)

    def fit(self, candidate: Candidate) -> tuple[Baseline, list[str]]:
        """Return a baseline, and the reasons why it is not in this space."""
        found: list[str] = []
        values = fit_baseline(candidate.written, self.sections, self.rules, self.broken, found)
        return Baseline(values, candidate.when), found


def check_sections(written: WrittenSpace) -> CheckedSections:
    """Check the sections and forbids of a space, without its baselines and blocks."""
    mistakes: list[str] = []
    broken: set[str] = set()
    for name in written.sections:
        if name not in SECTIONS:
            known = [*SECTIONS, *OTHER_WORDS]
            mistakes.append(f"[{name}]: {unknown('section', name, known)}{where_else(name)}")
    sections = {
        name: _SectionCheck(section, mistakes, broken, is_whole=written.is_whole).run(
            written.sections.get(name, {})
        )
        for name, section in SECTIONS.items()
    }
    forbids = check_forbids(written, sections, broken, mistakes) if written.is_whole else ()
    return CheckedSections(sections, forbids, broken, tuple(mistakes))


class _SectionCheck:
    """The check of one section.

    Args:
        section: the row of `SECTIONS`.
        mistakes: mistakes are appended here.
        broken: names whose domains are wrong are added here; later checks skip them.
        is_whole: False when the space to extend could not be read.
    """

    def __init__(
        self, section: Section, mistakes: list[str], broken: set[str], *, is_whole: bool
    ) -> None:
        self.section = section
        self.mistakes = mistakes
        self.broken = broken
        self.is_whole = is_whole

    def complain(self, path: str, what: str) -> None:
        where = f"[{self.section.name}] {path}" if path else f"[{self.section.name}]"
        self.mistakes.append(mistake(where, what))

    def run(self, written: Any) -> SectionSpace:
        section = self.section
        if not isinstance(written, Mapping):
            self.complain("", f"must be a table{self._example()}, got {show(written)}.")
            written = {}
        choices = self._choices(written)
        parameters = {
            key: self._domain(key, parameter, written[key])
            if key in written
            else self._default(key, parameter)
            for key, parameter in section.parameters.items()
        }
        for key in written:
            if key not in (*section.parameters, *section.rows, "choices", "choice"):
                self.complain(key, unknown_key(section, key))
        rows = {row: self._row(row, written.get(row, {})) for row in choices}
        self._rows_not_chosen(written, choices)
        space = SectionSpace(section, choices, parameters, rows)
        self._without_effect(space)
        self._conflicts(space)
        return space

    def _example(self) -> str:
        if self.section.rows:
            return f' or the name of one choice, such as "{self.section.default}"'
        return f" with {' or '.join(self.section.parameters)}"

    def _choices(self, written: Mapping[str, Any]) -> tuple[str, ...]:
        section = self.section
        if not section.rows:
            for word in ("choices", "choice"):
                if word in written:
                    keys = ", ".join(section.parameters)
                    self.complain(word, f"this section has no choices. Known: {keys}.")
            return ()
        if "choices" in written and "choice" in written:
            self.complain("choices", "must not be combined with choice. Remove one.")
        if "choices" in written:
            word, names = "choices", written["choices"]
            if not isinstance(names, list):
                self.complain(word, f"must be a list of names, got {show(names)}.")
                return tuple(section.rows)
            if not names:
                self.complain(word, "must contain at least one name, got []. " + self._known())
                return tuple(section.rows)
        elif "choice" in written:
            word, names = "choice", [written["choice"]]
        else:
            return default_row(section)
        n_mistakes = len(self.mistakes)
        for number, name in enumerate(names):
            if not isinstance(name, str):
                self.complain(word, f"must be text, got {show(name)}. {self._known()}")
            elif name not in section.rows:
                self.complain(word, unknown(section.name, name, section.rows))
            elif name in names[:number]:
                self.complain(word, f"must contain every name once, got {name!r} twice.")
        # After a wrong name the rest is checked as if all rows were chosen.
        return tuple(names) if len(self.mistakes) == n_mistakes else tuple(section.rows)

    def _known(self) -> str:
        return f"Known: {', '.join(self.section.rows)}."

    def _default(self, key: str, parameter: Parameter) -> Domain:
        is_auto = f"{self.section.name}.{key}" in AUTO_VALUES
        return Fixed(AUTO if is_auto else parameter.default)

    def _domain(self, path: str, parameter: Parameter, spec: object) -> Domain:
        """Return the domain, or the default when it is wrong."""
        domain = parse_domain(
            parameter,
            spec,
            lambda below, what: self.complain(f"{path}.{below}" if below else path, what),
            may_be_auto=f"{self.section.name}.{path}" in AUTO_VALUES,
        )
        if domain is not None:
            return domain
        self.broken.add(f"{self.section.name}.{path}")
        return Fixed(parameter.default)

    def _row(self, row: str, written: Any) -> dict[str, Domain]:
        """Return the domains of a row's own parameters and of shared ones that it overrides."""
        own, shared = self.section.own_parameters(row), self.section.parameters
        if not isinstance(written, Mapping):
            what = " or ".join(f"{row}.{key} = ..." for key in own)
            hint = f"Write {what}." if own else "It has no parameters."
            self.complain(row, f"must be a table, got {show(written)}. {hint}")
            written = {}
        domains: dict[str, Domain] = {key: Fixed(p.default) for key, p in own.items()}
        for key, spec in written.items():
            parameter = own.get(key, shared.get(key))
            if parameter is None:
                self.complain(f"{row}.{key}", unknown_parameter(self.section, row, key))
            else:
                domains[key] = self._domain(f"{row}.{key}", parameter, spec)
        return domains

    def _rows_not_chosen(self, written: Mapping[str, Any], choices: tuple[str, ...]) -> None:
        for row, inside in written.items():
            if row not in self.section.rows or row in choices or row in self.section.parameters:
                continue
            self._row(row, inside)
            if self.is_whole:
                only = "" if "choices" in written or "choice" in written else ", the default"
                chosen = ", ".join(choices)
                self.complain(
                    row,
                    f"must be one of the choices to have an effect, got choices {chosen}{only}. "
                    f"Add {row!r} to choices or leave it out.",
                )

    def _without_effect(self, space: SectionSpace) -> None:
        """Report shared parameters that are overridden for a row without an effect there."""
        asked = {named.name for named in space.named()}
        for row, domains in space.rows.items():
            for key in domains:
                if f"{self.section.name}.{row}.{key}" not in asked:
                    self.complain(f"{row}.{key}", f"has no effect with {row!r}. Leave it out.")

    def _conflicts(self, space: SectionSpace) -> None:
        """Report lists that contradict each other, in any combination of their choices."""
        for row in space.choices:
            own = self.section.own_parameters(row)
            typical = {key: middle(own[key], space.rows[row][key]) for key in own}
            lists = {
                key: listed(domain)
                for key in own
                if own[key].kind == "reals"
                and not isinstance(domain := space.rows[row][key], Range)
            }
            found: dict[str, None] = {}
            for combination in itertools.product(*lists.values()):
                values = typical | dict(zip(lists, combination, strict=True))
                conflict = self.section.conflict(self.section.rows[row], values)
                if conflict is not None:
                    found[conflict] = None
            for conflict in found:
                self.complain(row, conflict)
