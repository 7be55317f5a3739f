# SPDX-License-Identifier: Apache-2.0
"""The commands of scripts/mn, a module each.

A module has NAME, its one-line HELP, add_options(parser) and main(options, parser), which returns the
exit status. One that starts programs calls common.add_program_options and finds the command line
in options.command.
"""

from . import ci, compare, help, run, stacks, top, trace

ALL = (run, compare, ci, trace, top, stacks, help)
