"""The exact floor: SymPy in, SymPy out, no floating point."""
