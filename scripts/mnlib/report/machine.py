# SPDX-License-Identifier: Apache-2.0
"""What a comparison was measured on: no names of machines or people."""

import os
import platform
import re
import time


def describe(library):
    libc = ' '.join(platform.libc_ver())
    return {
        'cpu': _cpu(),
        'cpus': len(os.sched_getaffinity(0)),
        'memory_bytes': os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'),
        'architecture': platform.machine(),
        'kernel': f'{platform.system()} {platform.release()}',
        'libc': libc,
        'libmn': os.path.basename(library),
        'libmn_build': time.strftime('%Y-%m-%d %H:%M', time.gmtime(os.path.getmtime(library))) + ' UTC',
        'time': time.strftime('%Y-%m-%d %H:%M', time.gmtime()) + ' UTC',
    }


def _cpu():
    try:
        with open('/proc/cpuinfo', errors='replace') as file:
            match = re.search(r'^model name\s*:\s*(.+)$', file.read(), re.MULTILINE)
    except OSError:
        match = None
    return match[1] if match else platform.machine()
