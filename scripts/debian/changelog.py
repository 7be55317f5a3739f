# SPDX-License-Identifier: Apache-2.0
"""Prints debian/changelog, made from CHANGELOG.md. Its maintainer is that of debian/control."""

import datetime
import os
import re
import textwrap

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, '..', '..')
HEADING = re.compile(r'^## \[(\S+)\] - (\S+)$', re.MULTILINE)


def text_of(*path):
    with open(os.path.join(*path), encoding='utf-8') as file:
        return file.read()


def points(text):
    """Its bullets, without marks of Markdown."""
    for point in re.split(r'^- ', text, flags=re.MULTILINE)[1:]:
        point = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', point.partition('\n\n')[0]).replace('`', '')
        yield ' '.join(point.split())


def entries(changelog, maintainer):
    parts = HEADING.split(changelog)[1:]
    for version, date, text in zip(parts[::3], parts[1::3], parts[2::3]):
        when = datetime.datetime.strptime(date, '%Y-%m-%d').strftime('%a, %d %b %Y 00:00:00 +0000')
        lines = [f'libmn ({version}) unstable; urgency=medium', '']
        for point in points(text):
            lines += textwrap.wrap(point, 78, initial_indent='  * ', subsequent_indent='    ')
        yield '\n'.join([*lines, '', f' -- {maintainer}  {when}', ''])


def main():
    maintainer = re.search(r'^Maintainer: (.*)$', text_of(HERE, 'control'), re.MULTILINE)[1]
    print('\n'.join(entries(text_of(ROOT, 'CHANGELOG.md'), maintainer)), end='')


if __name__ == '__main__':
    main()
