// SPDX-License-Identifier: Apache-2.0
// Fresh thread-local variables for a recycled thread, without libc.
//
// libc's _dl_allocate_tls_init() takes ld.so's lock of the list of modules, one for the whole process, and walks the
// list: a fifth of the cost of a thread here, and a lock that all creating threads meet at. But the modules that a
// program starts with never go away, and they are all there is until somebody loads another that has thread-local
// variables. So their images are learnt once; while no other module was ever loaded, those are copied, else libc does
// it. ld.so tells by its list, whose place libc describes to debuggers (nptl_db's structs.def): {map, gen} per module,
// where those of the start have the first places, without a gap, and one gen (elf/rtld.c init_tls). The next module
// that is loaded takes the place behind them, with a later gen, which stays not 0 when it leaves (elf/dl-tls.c
// _dl_add_to_slotinfo, dl-close.c remove_slotinfo).
//
// libc's own module is left out: it keeps malloc's cache (tcb.h).
#pragma once

namespace mn {

// Before any thread is made. The images are not used when anything is not as expected.
void tls_images_learn(const void* libc_tls);

// No module has thread-local variables but those of the start, whose variables lie beside the TCB. False, too, if
// nothing could be learnt.
bool tls_images_are_all();

// False: modules were loaded since, or nothing could be learnt; then nothing was done.
bool tls_images_restore(void* tcb);

}  // namespace mn
