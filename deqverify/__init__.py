"""The front door: the names that tasks start from."""

__all__: list[str] = []
