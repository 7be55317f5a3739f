# SPDX-License-Identifier: Apache-2.0
"""Puts files where they belong, and takes them away again: make install, make uninstall.

    install.py install [--destdir FOLDER] LIST < lines of "MODE SOURCE TARGET"
    install.py uninstall [--destdir FOLDER] LIST

LIST is a file, installed with the others, that names what was put there: files, and the folders that were
not there before. What it names and a new installation does not have goes away.
"""

import argparse
import os
import shutil
import sys

CACHES = '__pycache__'    # Python makes them beside what it reads


class Failed(Exception):
    """The message says what could not be done."""


class Tree:
    """What is, or is to be, below `destdir`; all paths begin with / and are as they will be for users."""

    def __init__(self, destdir, listed):
        self._destdir = destdir
        self._list = listed
        self.files, self.folders = self._read()

    def at(self, path):
        return self._destdir + path if self._destdir else path

    def _read(self):
        try:
            with open(self.at(self._list), encoding='utf-8') as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return set(), set()
        return ({line for line in lines if not line.endswith('/')},
                {line.rstrip('/') for line in lines if line.endswith('/')})

    def make_folder(self, path):
        if path in ('', '/') or os.path.isdir(self.at(path)):
            return
        self.make_folder(os.path.dirname(path))
        os.mkdir(self.at(path), 0o755)
        os.chmod(self.at(path), 0o755)    # whatever the umask
        self.folders.add(path)

    def put(self, mode, source, target):
        """A program may be running with the old file: it keeps it."""
        self.make_folder(os.path.dirname(target))
        new = self.at(target) + '.new'
        try:
            shutil.copyfile(source, new)
            os.chmod(new, mode)
            os.replace(new, self.at(target))
        except OSError:
            if os.path.exists(new):
                os.unlink(new)
            raise

    def remove(self, files):
        for path in files:
            if os.path.lexists(self.at(path)):
                os.unlink(self.at(path))
            if os.path.dirname(path) in self.folders:
                shutil.rmtree(os.path.join(os.path.dirname(self.at(path)), CACHES), ignore_errors=True)

    def remove_empty_folders(self):
        for path in sorted(self.folders, key=len, reverse=True):
            if os.path.isdir(self.at(path)) and not os.listdir(self.at(path)):
                os.rmdir(self.at(path))
                self.folders.discard(path)

    def install(self, wanted):
        self.make_folder(os.path.dirname(self._list))
        self.files.add(self._list)
        kept = {target for _, _, target in wanted} | {self._list}
        try:
            for mode, source, target in wanted:
                self.put(mode, source, target)
                self.files.add(target)
            self.remove(self.files - kept)
            self.files = kept
            self.remove_empty_folders()
        finally:
            self._write()    # of what is there, whatever went wrong

    def _write(self):
        with open(self.at(self._list), 'w', encoding='utf-8') as file:
            file.writelines(f'{path}\n' for path in sorted(self.files))
            file.writelines(f'{path}/\n' for path in sorted(self.folders))
        os.chmod(self.at(self._list), 0o644)

    def uninstall(self):
        if not self.files:
            raise Failed(f'nothing is installed here: there is no {self.at(self._list)}')
        self.remove(self.files)
        self.remove_empty_folders()


def wanted(lines):
    found = []
    for line in filter(str.strip, lines):
        words = line.split()
        if len(words) != 3 or not words[2].startswith('/'):
            raise Failed(f'not of the form MODE SOURCE TARGET: {line.strip()}')
        found.append((int(words[0], 8), words[1], words[2]))
    return found


def main():
    parser = argparse.ArgumentParser(prog='install.py', description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument('action', choices=('install', 'uninstall'))
    parser.add_argument('list', metavar='LIST')
    parser.add_argument('--destdir', default='')
    options = parser.parse_args()
    try:
        tree = Tree(options.destdir.rstrip('/'), options.list)
        if options.action == 'install':
            tree.install(wanted(sys.stdin))
        else:
            tree.uninstall()
    except Failed as failed:
        return f'install: {failed}'
    except OSError as error:
        return f'install: {error.filename}: {error.strerror}'
    return 0


if __name__ == '__main__':
    sys.exit(main())
