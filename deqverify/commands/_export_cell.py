"""export_latex --deq: a cell's equations and every state's certified constants as LaTeX."""

from __future__ import annotations

import argparse
from pathlib import Path

from deqverify.commands import _cells, _export_files, _outputs, _progress

__all__ = ["run"]


def run(arguments: argparse.Namespace, folder: Path) -> int:
    """Solve the cell, write its files; the exit code.

    Args:
        arguments: of export_latex.
        folder: where the files go.

    Raises:
        UsageError: no cell, or one without a stable equilibrium.
        UndecidedError: nothing could be proved.
    """
    found = _cells.certified(_cells.read_cell(arguments.deq), arguments.digits)

    from numerics.publish.paper import CellExport, bibliography, cell_document, cell_macros, cell_record

    cell, prefix = found.cell, arguments.macro_prefix
    record = {"tau0": str(cell.tau0)} | _cells.description(cell)
    options = {name: getattr(arguments, name) for name in ("digits", "line_width", "macro_prefix")}
    names = "; ".join(state.activation.name for state in cell.states)
    weights = ", ".join(f"{key} = {record[key]}" for key in ("tau0", "readout", "sigma_a2"))
    inputs = "; ".join(f"sigma_b2 = {s.sigma_b2}, sigma_c2 = {s.sigma_c2}, centred = {s.centred}" for s in cell.states)
    heading = _export_files.heading(
        names, weights, inputs, ", ".join(f"{name} = {value}" for name, value in options.items())
    )
    export = CellExport(arguments.digits, arguments.line_width, _export_files.author(), heading, found)
    files = {"deq.tex": cell_document(export)}
    files |= {f"fragments/{name}.tex": text for name, text in export.fragments.items()}
    files["macros.tex"] = heading + cell_macros(export, prefix)
    files["references.bib"] = bibliography()
    record |= options | {"states": cell_record(export, prefix), "followed": found.followed} | _outputs.provenance()
    files["numbers.json"] = _outputs.json_text(record, "export-latex-states-numbers")
    _export_files.write(folder, files)
    if arguments.json != "-":
        states = "1 state" if len(cell.states) == 1 else f"{len(cell.states)} states"
        numbers = sum(len(each["values"]) for each in record["states"])
        _progress.console().print(f"{len(files)} files in {arguments.output}: {states}, {numbers} certified numbers")
    if arguments.json:
        manifest = {"output": arguments.output, "files": _export_files.listed(files)} | record
        _outputs.write_json(arguments.json, manifest, "export-latex-states")
    return 0
