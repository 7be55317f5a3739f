// SPDX-License-Identifier: Apache-2.0
// Readiness of descriptors, by epoll. The scheduler's side is sched/netpoll.h; io/wait.h is what calls wait with.
//
// Why one-shot registrations, armed anew for every wait: a descriptor can be closed and its number given to another
// file without our knowledge. EPOLL_CTL_MOD names the number *and* the file: it fails with ENOENT when they have come
// apart, so that every wait proves its own registration. It also reports what was ready already, so that no edge can be
// missed between the attempt and the wait. It costs one short system call per wait, 200 ns here.
//
// What can still be lost: a descriptor that is closed past us while a thread waits for it takes its registration with
// it (close() itself is interposed and keeps the file, io/close.h). So the poller proves waits anew by and by (heal()).
// MN_DISABLE=heal has it not do so: tests then see each wake-up that is lost.
//
// Rejected: edge-triggered registrations that last (as Go's): a stale one loses wake-ups, and every arriving packet
// costs an event, waited for or not. Tried for TCP sockets of this process's making with one reader, where a short read
// proves that nothing is left: bench/echo.py of 10,000 connections did 0.96 times as many requests as with one-shot
// registrations, of 1,000 0.99 (medians of 6 pairs). The call that is saved is paid for by bookkeeping and by events
// that nobody waits for. A helper thread with descriptors of its own: it would keep the program's files open.
//
// The epoll set and the event descriptor that interrupts its poller carry numbers above 900, after a moment with the
// lowest that is free. They are made with the first thread, before it runs: later another thread, or a forked child,
// could see that moment, and open() give it another number than natively. Who closes them nevertheless makes the next
// use fail, which makes new ones.
#pragma once

#include <cstdint>

#include "runtime/io/fd.h"

namespace mn {

void netpoll_init();

// Makes the epoll set report any of `events` on s, once, or as soon as it is so already. s->lock held. 0 or errno:
// EPERM for what cannot be polled. *another_file: the number has come to name another file than what was armed before,
// or none.
int netpoll_arm(FdState* s, uint32_t events, bool* another_file);

// Whether fd is one of ours, which the program must not close.
bool netpoll_owns(int fd);
// The program puts a file of its own at this number of ours.
void netpoll_give_way(int fd);

// A filter does not let us ask (os/confined.h): all waits end, to be made in calls that block. Outside.
void netpoll_give_up();

void netpoll_reset_after_fork();

}  // namespace mn
