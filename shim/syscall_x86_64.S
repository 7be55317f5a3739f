// SPDX-License-Identifier: Apache-2.0
// Functions that may return twice, or on another stack: syscall() and clone(). A function of ours in C that has the same
// arguments says which function serves the call; that one is jumped to, with registers and stack as the caller left
// them, so that none of our frames is there when it returns, however often.

        .text

        .macro  DIVERT target
        .cfi_startproc
        pushq   %rdi
        .cfi_adjust_cfa_offset 8
        pushq   %rsi
        .cfi_adjust_cfa_offset 8
        pushq   %rdx
        .cfi_adjust_cfa_offset 8
        pushq   %rcx
        .cfi_adjust_cfa_offset 8
        pushq   %r8
        .cfi_adjust_cfa_offset 8
        pushq   %r9
        .cfi_adjust_cfa_offset 8
        pushq   %rax
        .cfi_adjust_cfa_offset 8
        callq   \target
        movq    %rax, %r11
        popq    %rax
        .cfi_adjust_cfa_offset -8
        popq    %r9
        .cfi_adjust_cfa_offset -8
        popq    %r8
        .cfi_adjust_cfa_offset -8
        popq    %rcx
        .cfi_adjust_cfa_offset -8
        popq    %rdx
        .cfi_adjust_cfa_offset -8
        popq    %rsi
        .cfi_adjust_cfa_offset -8
        popq    %rdi
        .cfi_adjust_cfa_offset -8
        jmpq    *%r11
        .cfi_endproc
        .endm

        .globl  syscall
        .type   syscall, @function
        .p2align 4
syscall:
        DIVERT  mn_syscall_target
        .size   syscall, .-syscall

        .globl  clone, __clone
        .type   clone, @function
        .type   __clone, @function
        .p2align 4
clone:
__clone:
        DIVERT  mn_clone_target
        .size   clone, .-clone
        .size   __clone, .-__clone

        .section .note.GNU-stack, "", @progbits
