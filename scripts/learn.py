"""The command ``deqverify learn``, with the packages of this checkout."""

import _checkout  # noqa: F401 (before anything of this checkout)

from deqverify.commands import run_command

# Processes that it starts may run this file too.
if __name__ == "__main__":
    run_command("learn")
