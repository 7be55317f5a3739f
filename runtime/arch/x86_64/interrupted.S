// SPDX-License-Identifier: Apache-2.0
// mn_interrupted_call (interrupted.h). Offsets are those of the kernel's ucontext_t, which is libc's.

        .set    R8, 40
        .set    R9, 48
        .set    R10, 56
        .set    R11, 64
        .set    R12, 72
        .set    R13, 80
        .set    R14, 88
        .set    R15, 96
        .set    RDI, 104
        .set    RSI, 112
        .set    RBP, 120
        .set    RBX, 128
        .set    RDX, 136
        .set    RAX, 144
        .set    RCX, 152
        .set    RSP, 160
        .set    RIP, 168
        .set    FLAGS, 176
        .set    CR2, 216                // not the program's: where the last return takes its address
        .set    X87_CONTROL, 424
        .set    MXCSR, 448

        .set    GAP, 1024               // below the stack pointer that is told; a multiple of 16

        .text
        .globl  mn_interrupted_call
        .hidden mn_interrupted_call
        .type   mn_interrupted_call, @function
        .p2align 4
mn_interrupted_call:                    // rdi call, rsi ucontext, rdx argument
        .cfi_startproc
        movq    %rbx, RBX(%rsi)
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        movq    %rsi, %rbx
        movq    %rbp, RBP(%rbx)
        movq    %r12, R12(%rbx)
        movq    %r13, R13(%rbx)
        movq    %r14, R14(%rbx)
        movq    %r15, R15(%rbx)
        leaq    16(%rsp), %rax
        movq    %rax, RSP(%rbx)
        movq    8(%rsp), %rax
        movq    %rax, RIP(%rbx)
        pushfq
        .cfi_adjust_cfa_offset 8
        popq    FLAGS(%rbx)
        .cfi_adjust_cfa_offset -8
        // From here on what is pushed above may be overwritten; the ucontext has it.
        .cfi_escape 0x0f, 4, 0x73, 0xa0, 0x01, 0x06     // the frame address: the word at rbx+RSP
        .cfi_escape 0x10, 16, 3, 0x73, 0xa8, 0x01       // the program counter: at rbx+RIP
        .cfi_escape 0x10, 3, 3, 0x73, 0x80, 0x01        // rbx: at rbx+RBX
        subq    $GAP, %rsp
        fnstcw  X87_CONTROL(%rbx)
        stmxcsr MXCSR(%rbx)
        movq    %rdi, %rax
        movq    %rbx, %rdi
        movq    %rdx, %rsi
        call    *%rax
        // What the ucontext says by now, the red zone below its stack pointer included.
        movq    RSP(%rbx), %rax
        movq    RIP(%rbx), %rcx
        leaq    -136(%rax), %rax
        movq    %rcx, (%rax)
        movq    %rax, CR2(%rbx)
        fldcw   X87_CONTROL(%rbx)
        ldmxcsr MXCSR(%rbx)
        jmp     1f
        .globl  mn_go_on                // rbx: ucontext; the extended state is loaded (inject.S)
        .hidden mn_go_on
mn_go_on:
        movq    RSP(%rbx), %rax
        movq    RIP(%rbx), %rcx
        leaq    -136(%rax), %rax
        movq    %rcx, (%rax)
        movq    %rax, CR2(%rbx)
1:      pushq   FLAGS(%rbx)
        popfq
        movq    R8(%rbx), %r8
        movq    R9(%rbx), %r9
        movq    R10(%rbx), %r10
        movq    R11(%rbx), %r11
        movq    R12(%rbx), %r12
        movq    R13(%rbx), %r13
        movq    R14(%rbx), %r14
        movq    R15(%rbx), %r15
        movq    RDI(%rbx), %rdi
        movq    RSI(%rbx), %rsi
        movq    RBP(%rbx), %rbp
        movq    RDX(%rbx), %rdx
        movq    RAX(%rbx), %rax
        movq    RCX(%rbx), %rcx
        movq    CR2(%rbx), %rsp
        .cfi_def_cfa %rsp, 136
        .cfi_offset %rip, -136
        movq    RBX(%rbx), %rbx
        .cfi_restore %rbx
        ret     $128
        .cfi_endproc
        .size   mn_interrupted_call, . - mn_interrupted_call
        .section .note.GNU-stack, "", @progbits
