"""The evidence for the claims of ``theory.claims``, one module for each kind of evidence."""

__all__: list[str] = []
