// SPDX-License-Identifier: Apache-2.0
// mn_call_on_stack (on_stack.h).

        .text
        .globl  mn_call_on_stack
        .hidden mn_call_on_stack
        .type   mn_call_on_stack, @function
        .p2align 4
mn_call_on_stack:                       // rdi call, rsi argument, rdx top
        .cfi_startproc
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        movq    %rdi, %rax
        movq    %rsi, %rdi
        movq    %rdx, %rsp
        callq   *%rax
        movq    %rbp, %rsp
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        ret
        .cfi_endproc
        .size   mn_call_on_stack, .-mn_call_on_stack

        .section .note.GNU-stack, "", @progbits
