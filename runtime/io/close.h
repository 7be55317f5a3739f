// SPDX-License-Identifier: Apache-2.0
// Descriptors that the program closes, or whose number it gives to another file, while threads wait for them. Natively
// a call in the kernel goes on with the file that it began with; so here: the file is kept open under a number of ours
// until the last such call has ended.
#pragma once

namespace mn {

// Before fd is closed. False: it is one of ours, which the program does not know; EBADF is the answer.
bool fd_closing(int fd);
// After it was closed or replaced. Threads that have begun to wait meanwhile look again.
void fd_closed(int fd);
// close_range(2) around what is ours. -1 with errno.
int io_close_range(unsigned first, unsigned last, int flags);
// Before the program puts a file at this number with dup2: ours gives way. fd_closed() comes after.
void fd_replacing(int fd);

// After shutdown(2), which ends waits for room without making the socket ready.
void fd_shut(int fd);

}  // namespace mn
