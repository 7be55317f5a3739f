# SPDX-License-Identifier: Apache-2.0
"""What /proc tells about a process and its descendants."""

import os


def _read(path):
    try:
        with open(path, errors='replace') as file:
            return file.read()
    except OSError:
        return ''


def descendants(pid):
    """`pid` and every process below it, parents first."""
    children = {}
    for name in os.listdir('/proc') if os.path.isdir('/proc') else []:
        if name.isdigit():
            fields = stat(name)
            if len(fields) > 1:
                children.setdefault(int(fields[1]), []).append(int(name))
    tree = [pid]
    for member in tree:
        tree += children.get(member, [])
    return tree


def stat(pid):
    """The fields of /proc/PID/stat after the name, from the state on; empty when it is gone."""
    # The name may hold spaces and parentheses: count from the last one.
    return _read(f'/proc/{pid}/stat').rpartition(')')[2].split()


def maps(pid, path):
    """Whether a process has this file in its memory."""
    return any(line.endswith(path) for line in _read(f'/proc/{pid}/maps').splitlines())


def status(pid):
    """The fields of /proc/PID/status; empty when the process is gone."""
    fields = {}
    for line in _read(f'/proc/{pid}/status').splitlines():
        key, _, value = line.partition(':')
        fields[key] = value.strip()
    return fields


def describe_tasks(pid, limit=40):
    """Lines that say what each kernel thread of a process is doing, equal ones counted."""
    seen = {}
    try:
        tasks = sorted(os.listdir(f'/proc/{pid}/task'), key=int)
    except OSError:
        return [f'process {pid}: gone']
    for task in tasks:
        base = f'/proc/{pid}/task/{task}'
        fields = status(f'{pid}/task/{task}')
        call = _read(f'{base}/syscall').split()
        stack = [line.split()[-1].split('+')[0] for line in _read(f'{base}/stack').splitlines()[:4]]
        what = ' '.join([
            fields.get('State', '?'),
            'wchan=' + (_read(f'{base}/wchan').strip() or '?'),
            'syscall=' + ('/'.join(call[:4]) or '?'),
            'kernel=' + ('<'.join(stack) or '?'),
            'switches=' + fields.get('voluntary_ctxt_switches', '?'),
            'pending=' + fields.get('SigPnd', '?') + ' blocked=' + fields.get('SigBlk', '?'),
        ])
        seen.setdefault(what, []).append(task)
    command = _read(f'/proc/{pid}/cmdline').replace('\0', ' ').strip()
    lines = [f'process {pid}: {len(tasks)} kernel threads: {command}']
    for what, members in list(seen.items())[:limit]:
        many = f' and {len(members) - 1} more' if len(members) > 1 else ''
        lines.append(f'  task {members[0]}{many}: {what}')
    if len(seen) > limit:
        lines.append(f'  ... and {len(seen) - limit} more kinds of task')
    return lines
