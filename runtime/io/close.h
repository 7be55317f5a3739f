// SPDX-License-Identifier: Apache-2.0
// Descriptors that the program closes, or whose number it gives to another file, while threads wait for them. Natively
// a call in the kernel goes on with the file that it began with; so here: the file is kept open under a number of ours
// until the last such call has ended.
#pragma once

namespace mn {

// Before fd is closed. False: it is one of ours, which the program does not know; EBADF is the answer.
bool fd_closing(int fd);
// Before all from `first` to `last` but ours are closed.
void fds_closing(unsigned first, unsigned last);
// Ours in [first, last], lowest; -1: none.
int fd_ours_in(unsigned first, unsigned last);
// Before the program puts a file at this number with dup2: ours gives way.
void fd_replacing(int fd);

}  // namespace mn
