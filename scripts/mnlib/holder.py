# SPDX-License-Identifier: Apache-2.0
"""Holds a pipe for a process of another user to open (asking.py starts it: holder.py UID GID PID).

A process may open /proc/HOLDER/fd/N only of one that it may also trace, read the memory of and take descriptors from. So
this one has nothing: no environment, no descriptors but three pipes, no terminal, no directory but the process's own
root, no keys, no groups, a memory that only ever held this program, and hardly a system call that it may make.

Descriptor 0 is a pipe that ends when mn does. 1 and 2 lead to mn: "ready", or why not.
"""

import ctypes
import os
import struct
import sys

# x86-64, as libmn.
SYS_KEYCTL, SYS_PRCTL = 250, 157
MAY_BE_CALLED = (0, 1, 3, 15, 219, 231)    # read, write, close, rt_sigreturn, restart_syscall, exit_group
ARCHITECTURE = 0xc000003e
JOIN_SESSION_KEYRING = 1
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 22, 38
SECCOMP_MODE_FILTER = 2
ALLOW, REFUSE, KILL = 0x7fff0000, 0x00050001, 0x80000000    # refuse: EPERM
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
AT_NUMBER, AT_ARCHITECTURE, AT_FIRST = 0, 4, 16    # in struct seccomp_data

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, f'{what}: {os.strerror(error)}')


def leave_keys_behind():
    """The keys of root's session go with the session's ring. A kernel, or a container, may have none."""
    if libc.syscall(SYS_KEYCTL, JOIN_SESSION_KEYRING, None) == -1 and ctypes.get_errno() not in (1, 38):
        check(-1, 'no key ring')


def allow_hardly_anything():
    """What a tracer has it call is checked by the same filter."""
    code = [(LOAD, 0, 0, AT_ARCHITECTURE), (IF_EQUAL, 1, 0, ARCHITECTURE), (RETURN, 0, 0, KILL),
            (LOAD, 0, 0, AT_NUMBER)]
    for number in MAY_BE_CALLED:
        code += [(IF_EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    code += [(IF_EQUAL, 0, 3, SYS_PRCTL), (LOAD, 0, 0, AT_FIRST), (IF_EQUAL, 0, 1, PR_SET_DUMPABLE),
             (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
    packed = ctypes.create_string_buffer(b''.join(struct.pack('<HBBI', *each) for each in code))
    program = ctypes.create_string_buffer(struct.pack('<H6xQ', len(code), ctypes.addressof(packed)))
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 'no_new_privs')
    check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0), 'seccomp')


def become(uid, gid, pid):
    """The owner, from root; where mn is not root it is the owner already, and has a session of its own to lose."""
    if os.geteuid() == 0:
        leave_keys_behind()
        os.chroot(f'/proc/{pid}/root')
        os.chdir('/')
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    allow_hardly_anything()
    check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 'dumpable')    # who changes its user is not


def main():
    try:
        become(*map(int, sys.argv[1:]))
    except OSError as error:
        os.write(1, str(error).encode(errors='replace'))
        os._exit(1)
    os.write(1, b'ready')
    os.close(1)
    os.close(2)
    os.read(0, 1)
    os._exit(0)


if __name__ == '__main__':
    main()
