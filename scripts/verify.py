"""The command ``deqverify verify``, with the packages of this checkout."""

import _checkout  # noqa: F401 (before anything of this checkout)

from deqverify.commands import run_command

run_command("verify")
