# SPDX-License-Identifier: Apache-2.0
"""Groups the threads of a dump by their stacks. A process may have written anything into its dump: what is no line
of a dump is left out, and no line costs more than its length."""

import collections
import re

# A name has 15 bytes; what is longer is none of libmn's.
THREAD = re.compile(r'((?:main |kernel )?thread(?: ([0-9]{1,18}))?)(?: "(.{0,64})")? \(0x[0-9a-f]{1,16}\) \[(.*)\]:$')
FRAME = re.compile(r'    (?:#[0-9]{1,9} )(.*)$')
SINCE = re.compile(r', ([0-9]{1,18} ms|[0-9]{1,18}(?:\.[0-9]{1,9})? s)(, at most [0-9.]{1,28} m?s more)?(;.*)?$')
KERNEL_THREAD = re.compile(r' on kernel thread [0-9]+')
ADDRESS = re.compile(r'0x[0-9a-f]+')

MOST_SHOWN = 8     # threads named of a group
MOST_LINE = 1024   # characters, of a line

Thread = collections.namedtuple('Thread', 'label id name state frames')


def lines_of(text):
    return [line[:MOST_LINE] for line in text.split('\n')]


def parse(lines):
    threads = []
    for line in lines:
        thread, frame = THREAD.match(line), FRAME.match(line)
        if thread:
            label = 'main' if thread[1].startswith('main') else thread[1].replace('thread ', '')
            threads.append(Thread(label, int(thread[2] or 0), thread[3] or '', thread[4], []))
        elif threads and (frame or line == '    ...'):
            threads[-1].frames.append(frame[1] if frame else '...')
    return threads


def reason(state):
    """What of a state threads may have in common, and how long it has lasted: (text, since)."""
    since = SINCE.search(state)
    if since:
        return state[:since.start()] + (since[3] or ''), since[1]
    return KERNEL_THREAD.sub('', state).rstrip(','), None


def grouped(threads):
    """[(reason, frames, [(thread, since)])], the largest first. What threads wait for may differ in its address."""
    groups = collections.OrderedDict()
    for thread in threads:
        what, since = reason(thread.state)
        key = (ADDRESS.sub('0x', re.sub(r'\b(descriptor|thread) \d+', r'\1', what)), tuple(thread.frames))
        groups.setdefault(key, []).append((thread, what, since))
    return sorted(groups.items(), key=lambda item: -len(item[1]))


def ranges(numbers):
    """"1-5, 8" """
    spans = []
    for number_ in sorted(numbers):
        if spans and number_ == spans[-1][1] + 1:
            spans[-1][1] = number_
        else:
            spans.append([number_, number_])
    return [str(low) if low == high else f'{low}-{high}' for low, high in spans]


def shortened(words, most=MOST_SHOWN):
    if len(words) <= most:
        return ', '.join(words)
    return ', '.join(words[:most]) + f' ... ({len(words) - most} more)'


def describe_group(members):
    """The lines about a group, without its stack."""
    whats = list(dict.fromkeys(what for _, what, _ in members))
    count = len(members)
    head = f'{count:,} thread{"s" if count != 1 else ""}'
    state = whats[0]
    if len(whats) > 1:
        state += f' (and {len(whats) - 1:,} others)'
    since = [since for _, _, since in members if since]
    if since:
        low, high = min(since, key=seconds_of), max(since, key=seconds_of)
        state += f', {low}' if low == high else f', {low} to {high}'
    lines = [f'{head}: {state}']
    numbers = [thread.id for thread, _, _ in members if thread.label.isdigit()]
    others = [thread.label for thread, _, _ in members if not thread.label.isdigit()]
    lines.append('    who: ' + shortened(others + ranges(numbers)))
    names = condensed(thread.name for thread, _, _ in members if thread.name)
    if names:
        lines.append('    names: ' + shortened(names))
    return lines


def condensed(names):
    """"worker3", "worker4", "worker5" as "worker3-5", and how often each comes if that is more than once."""
    found = collections.Counter(names)
    numbered, words = {}, []
    for name, count in found.items():
        match = re.fullmatch(r'(.*?)(0|[1-9]\d{0,14})', name)
        if match and count == 1:
            numbered.setdefault(match[1], []).append(int(match[2]))
        else:
            words.append(name if count == 1 else f'{name} x {count:,}')
    return words + [f'{prefix}{span}' for prefix, numbers in numbered.items() for span in ranges(numbers)]


def seconds_of(text):
    value, unit = text.split()
    return float(value) / (1000 if unit == 'ms' else 1)


def report(text):
    """The dump's text as groups: lines."""
    lines = lines_of(text)
    threads = parse(lines)
    stacks = grouped(threads)
    yield f'{lines[0].partition(": ")[2].rpartition(":")[0]}: {len(threads):,} threads, {len(stacks):,} different stacks'
    for line in lines:
        if line.startswith('libmn: callers are guesses'):
            yield line
    for (_, frames), members in stacks:
        yield ''
        yield from describe_group(members)
        for number_, frame in enumerate(frames):
            yield f'    #{number_} {frame}'
