// SPDX-License-Identifier: Apache-2.0
// vfork(2) returns twice on one stack: what the child pushes lies where the parent's frames were. So this frame keeps
// nothing on the stack: the caller's return address is kept by mn_vfork_begin, and what is left is libc's own vfork,
// which keeps its return address in a register.

        .text
        .globl  vfork
        .type   vfork, @function
        .p2align 4
vfork:
        .cfi_startproc
        movq    (%rsp), %rdi
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        callq   mn_vfork_begin          // returns libc's vfork
        addq    $16, %rsp
        .cfi_adjust_cfa_offset -16
        callq   *%rax
        pushq   %rax
        .cfi_adjust_cfa_offset 8
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        movl    %eax, %edi
        callq   mn_vfork_end            // returns the caller's return address
        movq    %rax, %rdx
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %rax
        .cfi_adjust_cfa_offset -8
        jmpq    *%rdx
        .cfi_endproc
        .size   vfork, .-vfork

        .globl  __vfork
        .set    __vfork, vfork

        .section .note.GNU-stack, "", @progbits
