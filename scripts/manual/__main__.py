# SPDX-License-Identifier: Apache-2.0
"""python3 scripts/manual LIBRARY FOLDER: writes the manual pages and the completions of mn.

All is made from the tables that `mn --help` and MN_HELP=1 print, from docs/manual.md, and from what
README.md says of limits.
"""

import os
import re
import sys

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))

import completions  # noqa: E402
import pages  # noqa: E402
import roff  # noqa: E402
import tables  # noqa: E402
from mnlib import preload  # noqa: E402
from mnlib.commands.whole import VERSION  # noqa: E402


def text_of(*path):
    with open(os.path.join(ROOT, *path), encoding='utf-8') as file:
        return file.read()


def made(library):
    """{path: text}"""
    mn, commands = tables.commands()
    edition = pages.edition(VERSION, text_of('CHANGELOG.md'))
    files = {'man1/mn.1': pages.of_mn(mn, commands, edition),
             'man7/libmn.7': pages.of_library(text_of('docs', 'manual.md'), text_of('README.md'),
                                              tables.variables(library), edition),
             'bash/mn': completions.bash(mn, commands),
             'zsh/_mn': completions.zsh(mn, commands),
             'fish/mn.fish': completions.fish(mn, commands)}
    for command in commands:
        files[f'man1/mn-{command.name}.1'] = pages.of_command(command, edition)
    # A heading begins a paragraph by itself.
    return {path: re.sub(r'(\n\.SH [^\n]*)\n\.PP\n', r'\1\n', '\n'.join(lines)) + '\n'
            for path, lines in files.items()}


def main():
    if len(sys.argv) != 3:
        return 'manual: say: python3 scripts/manual LIBRARY FOLDER'
    library, folder = sys.argv[1:]
    try:
        for path, text in made(library).items():
            path = os.path.join(folder, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w', encoding='ascii') as file:
                file.write(text)
    except (tables.NoTable, pages.BadText, roff.Odd, preload.Refused) as error:
        return f'manual: {error}'
    except OSError as error:
        return f'manual: {error.filename}: {error.strerror}'
    return 0


if __name__ == '__main__':
    sys.exit(main())
