"""Samples and labels from files that are not trusted: each format in a file, none of them able to run code.

What a file asks for is compared with its size and with limits before memory is taken, and whatever is wrong is one
sentence, a ``DatasetError``.
"""

from numerics.data.readers.digits_package import one_split, read_digits
from numerics.data.readers.files import Stored
from numerics.data.readers.folders import read_path
from numerics.data.readers.idx import idx_bytes

__all__ = ["Stored", "idx_bytes", "one_split", "read_digits", "read_path"]
