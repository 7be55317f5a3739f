# SPDX-License-Identifier: Apache-2.0
"""The manual pages: mn(1), one for each of its commands, and libmn(7)."""

import re

import roff

LIMITS = 'What does not work'


class BadText(Exception):
    """A text that pages are made of lacks what they need."""


def title(name, section, edition):
    return [r'.\" Generated (scripts/manual): changes are lost.',
            f'.TH {roff.typed(name).upper()} {section} {edition}', '.nh', '.ad l']


def edition(version, changelog):
    """What the foot of a page says: of when it is, and of which libmn."""
    date = re.search(rf'^## \[{re.escape(version)}\] - (\S+)$', changelog, re.MULTILINE)
    if not date:
        raise BadText(f'CHANGELOG.md has no date of version {version}')
    return f'{date[1]} "libmn {version}"'


def synopsis(usage):
    made = [roff.heading('synopsis')]
    for index, line in enumerate(usage):
        line = re.sub(r'\b[A-Z]{2,}\b', lambda match: roff.italic(match[0]), roff.typed(line))
        made += (['.br'] if index else []) + [re.sub(r'^mn( [a-z]+\b)?', lambda match: rf'\fB{match[0]}\fR', line)]
    return made


def options(each):
    made = [roff.heading('options')]
    for option in each:
        names = ', '.join(roff.bold(name) for name in option.names)
        value = f' {roff.italic(option.value)}' if option.value else ''
        made += ['.TP', names + value, roff.escape(sentence(option.text))]
    return made


def sentence(text):
    """Help texts begin small and have no full stop."""
    return text[0].upper() + text[1:] + ('' if text.endswith('.') else '.')


def sections(each):
    made = []
    for name, text in each:
        made.append(roff.heading(name))
        made += roff.example(text) if name == 'examples' else [roff.escape(sentence(' '.join(text.split())))]
    return made


def paragraphs(text):
    made = []
    for paragraph in filter(None, text.split('\n\n')):
        made += ['.PP', roff.escape(' '.join(paragraph.split()))]
    return made[1:]


def see_also(*names):
    return [roff.heading('see also'), ', '.join(rf'{roff.bold(name)}({section})' for name, section in names)]


def of_mn(mn, commands, edition):
    made = [*title('mn', 1, edition), roff.heading('name'), rf'mn \- {roff.escape(mn.text)}', *synopsis(mn.usage),
            roff.heading('description'), *paragraphs(mn.description), roff.heading('commands')]
    for command in commands:
        made += ['.TP', roff.bold(command.name),
                 roff.escape(sentence(command.text)) + rf' See {roff.bold("mn-" + command.name)}(1).']
    made += [*options(mn.options), *sections(mn.sections)]
    return made + see_also(*((f'mn-{command.name}', 1) for command in commands), ('libmn', 7))


def of_command(command, edition):
    name = f'mn-{command.name}'
    return [*title(name, 1, edition), roff.heading('name'), rf'{roff.typed(name)} \- {roff.escape(command.text)}',
            *synopsis(command.usage), roff.heading('description'),
            *(paragraphs(command.description) or [roff.escape(sentence(command.text))]),
            *options(command.options), *sections(command.sections), *see_also(('mn', 1), ('libmn', 7))]


def of_library(template, readme, variables, edition):
    """The template is Markdown; a line @OPTIONS@ or @LIMITS@ stands for what is written elsewhere."""
    listed = []
    for name, text in variables:
        listed += ['.TP', roff.bold(name), roff.escape(sentence(text))]
    limits = re.search(rf'^## {LIMITS}\n.*?\n(?=- )(.*?)\n## ', readme, re.MULTILINE | re.DOTALL)
    if not limits:
        raise BadText(f'README.md has no list under "{LIMITS}"')
    parts = {'@OPTIONS@': listed, '@LIMITS@': roff.markdown(limits[1])}
    made = title('libmn', 7, edition)
    for piece in re.split(r'^(@[A-Z]+@)$', template, flags=re.MULTILINE):
        made += parts[piece] if piece in parts else roff.markdown(piece)
    return made
