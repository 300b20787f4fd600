"""The LaTeX export: a document of equations, constants, networks and verdicts."""

__all__: list[str] = []
