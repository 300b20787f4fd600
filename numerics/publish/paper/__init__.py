"""The LaTeX export: a document of equations, constants, networks and verdicts."""

from numerics.publish.paper.cell import CellExport, cell_document, cell_macros, cell_record
from numerics.publish.paper.claims import claims_section
from numerics.publish.paper.document import Export, Section, bibliography, latex_document
from numerics.publish.paper.networks import Matching, match, network_latex, network_record, networks_section
from numerics.publish.paper.numbers import Subject, macros, number_record
from numerics.publish.paper.words import escaped, pieces, sentence

__all__ = [
    "CellExport",
    "Export",
    "Matching",
    "Section",
    "Subject",
    "bibliography",
    "cell_document",
    "cell_macros",
    "cell_record",
    "claims_section",
    "escaped",
    "latex_document",
    "macros",
    "match",
    "network_latex",
    "network_record",
    "networks_section",
    "number_record",
    "pieces",
    "sentence",
]
