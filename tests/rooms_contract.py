"""The import contract of the rooms, for import-linter: ``lint-imports`` reads its table from pyproject.toml.

import-linter's own contracts say what a module may not import. This one is the other way round, so that a
new room or a new arrow is refused until somebody writes it into the table.
"""

from __future__ import annotations

from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class TableField(fields.Field):
    """A table of names: ``{"formats": ["schemes", "tree"], ...}``."""

    def parse(self, raw_data: Any) -> dict[str, list[str]]:
        if not isinstance(raw_data, dict) or not all(isinstance(names, list) for names in raw_data.values()):
            raise fields.ValidationError("Expected a table of lists, one list for each room.")
        return raw_data


class RoomsContract(Contract):
    """Each package of the root imports only those listed beside its name, directly; lazy imports count.

    Options
    -------
    root : the package that the rooms are in.
    everywhere : what every room may import besides; these themselves import only what their own lists say.
    rooms : table; module or package of the root -> those, or packages inside them, that it may import.
        ``["*"]`` is all.
    """

    root = fields.StringField()
    everywhere = fields.ListField(subfield=fields.StringField())
    rooms = TableField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        root, everywhere, rooms = str(self.root), list(self.everywhere), dict(self.rooms)
        prefix = f"{root}."
        there = {child.removeprefix(prefix) for child in graph.find_children(root)}
        broken = [f"{prefix}{name} has no line in the table of rooms" for name in sorted(there - {*rooms})]
        broken += [f"{prefix}{name} is in the table and not there" for name in sorted({*rooms} - there)]
        for module in sorted(graph.modules - {root}):
            room = module.removeprefix(prefix).split(".")[0]
            allowed = [room, *(() if room in everywhere else everywhere), *rooms.get(room, ())]
            for imported in sorted(graph.find_modules_directly_imported_by(module)):
                if "*" not in allowed and not _inside(imported.removeprefix(prefix), allowed):
                    details = graph.get_import_details(importer=module, imported=imported)
                    lines = ", ".join(str(detail["line_number"]) for detail in details)
                    broken.append(f"{module} -> {imported} (line {lines}): {room} may not import that")
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in check.metadata["broken"]:
            output.print_error(f"- {line}", bold=False)
        output.new_line()


def _inside(name: str, packages: list[str]) -> bool:
    """Whether a module is one of the packages or lies in one."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)
