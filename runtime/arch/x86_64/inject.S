// SPDX-License-Identifier: Apache-2.0
// The landing of an injected call (inject.h). It begins at a stack pointer R, where inject_call() left three words, the
// interrupted program counter, S-136 and the size of the gap, and moves to the interrupted stack pointer S. What it
// makes below S:
//
//     S-128        red zone, untouched
//     S-136        interrupted program counter
//     S-144        flags
//     S-152        rax
//     S-160        size of the gap
//     S-272        rbx rcx rdx rsi rdi rbp r8 ... r15, rbx at the top; rbp points here: struct InjectedFrame
//     below        the gap, then the XSAVE area, at a multiple of 64; rsp points here
//
// The stack pointer is restored by the return instruction, which drops the red zone with the program counter.
//
// The target is called with rbp, rsp and the plan. It returns, or goes on by mn_inject_resume(), as a ucontext says.

        .macro  PUSH reg
        pushq   %\reg
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %\reg, 0
        .endm

        .macro  POP reg
        popq    %\reg
        .cfi_adjust_cfa_offset -8
        .cfi_restore %\reg
        .endm

// DWARF expressions, for which the assembler has no words: the frame address and the program counter while rsp is
// R-\off, and a register saved at rsp+\off.
        .macro  AT_R off
        .cfi_escape 0x0f, 6, 0x77, \off+8, 0x06, 0x23, 0x88, 0x01
        .cfi_escape 0x10, 16, 2, 0x77, \off
        .endm
        .macro  SAVED reg, off
        .cfi_escape 0x10, \reg, 2, 0x77, \off
        .endm

        .text
        .globl  mn_inject_stub
        .hidden mn_inject_stub
        .type   mn_inject_stub, @function
        .p2align 4
mn_inject_stub:
        .cfi_startproc
        .cfi_signal_frame
        // The frame address is S: what the second word says, and 136.
        AT_R    0
        pushq   %rax
        AT_R    8
        SAVED   0, 0
        pushq   %rcx
        AT_R    16
        SAVED   0, 8
        SAVED   2, 0
        movq    24(%rsp), %rax          // S-136
        movq    16(%rsp), %rcx          // program counter
        movq    %rcx, (%rax)
        movq    8(%rsp), %rcx           // rax
        movq    %rcx, -16(%rax)
        movq    32(%rsp), %rcx          // the gap
        movq    %rcx, -24(%rax)
        popq    %rcx
        .cfi_restore %rcx
        AT_R    8
        SAVED   0, 0
        movq    %rax, %rsp
        .cfi_def_cfa %rsp, 136
        .cfi_offset %rip, -136
        .cfi_offset %rax, -152
        pushfq                          // nothing has changed them so far
        .cfi_adjust_cfa_offset 8
        leaq    -16(%rsp), %rsp
        .cfi_adjust_cfa_offset 16
        PUSH    rbx
        PUSH    rcx
        PUSH    rdx
        PUSH    rsi
        PUSH    rdi
        PUSH    rbp
        PUSH    r8
        PUSH    r9
        PUSH    r10
        PUSH    r11
        PUSH    r12
        PUSH    r13
        PUSH    r14
        PUSH    r15
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        cld

        // rbx: the plan
        leaq    mn_save_plain(%rip), %rbx
        cmpq    $0, mn_save_tiles(%rip)
        je      1f
        movl    $1, %ecx
        xgetbv                          // components in use
        testl   $0x60000, %eax
        jz      1f
        leaq    mn_save_tiles(%rip), %rbx
1:      subq    112(%rsp), %rsp         // the gap
        subq    (%rbx), %rsp
        andq    $-64, %rsp
        movl    mn_save_kind(%rip), %r12d
        testl   %r12d, %r12d
        jz      4f

        // The header must be zero where the instruction does not write it.
        xorl    %eax, %eax
        movq    %rax, 512(%rsp)
        movq    %rax, 520(%rsp)
        movq    %rax, 528(%rsp)
        movq    %rax, 536(%rsp)
        movq    %rax, 544(%rsp)
        movq    %rax, 552(%rsp)
        movq    %rax, 560(%rsp)
        movq    %rax, 568(%rsp)
        movl    8(%rbx), %eax
        movl    12(%rbx), %edx
        cmpl    $2, %r12d
        je      2f
        xsave64 (%rsp)
        jmp     3f
2:      xsavec64 (%rsp)
3:      movl    16(%rbx), %eax
        movl    20(%rbx), %edx
        xrstor64 mn_fresh_state(%rip)
        movq    %rbp, %rdi
        movq    %rsp, %rsi
        movq    %rbx, %rdx
        callq   *mn_inject_target(%rip)
        movl    8(%rbx), %eax
        movl    12(%rbx), %edx
        xrstor64 (%rsp)
        jmp     5f

4:      fxsave64 (%rsp)
        fninit
        ldmxcsr mn_fresh_state+24(%rip)
        movq    %rbp, %rdi
        movq    %rsp, %rsi
        movq    %rbx, %rdx
        callq   *mn_inject_target(%rip)
        fxrstor64 (%rsp)

5:      movq    %rbp, %rsp
        .cfi_def_cfa_register %rsp
        POP     r15
        POP     r14
        POP     r13
        POP     r12
        POP     r11
        POP     r10
        POP     r9
        POP     r8
        POP     rbp
        POP     rdi
        POP     rsi
        POP     rdx
        POP     rcx
        POP     rbx
        leaq    8(%rsp), %rsp
        .cfi_adjust_cfa_offset -8
        POP     rax
        popfq
        .cfi_adjust_cfa_offset -8
        ret     $128
        .cfi_endproc
        .size   mn_inject_stub, .-mn_inject_stub

// rdi: ucontext, rsi: XSAVE area, rdx: plan. What is loaded lies below the stack pointer that the ucontext names.
        .globl  mn_inject_resume
        .hidden mn_inject_resume
        .type   mn_inject_resume, @function
        .p2align 4
mn_inject_resume:
        .cfi_startproc
        .cfi_undefined rip
        movq    %rdi, %rbx
        movq    %rdx, %rcx
        cmpl    $0, mn_save_kind(%rip)
        je      6f
        movl    8(%rcx), %eax
        movl    12(%rcx), %edx
        xrstor64 (%rsi)
        jmp     7f
6:      fxrstor64 (%rsi)
7:      jmp     mn_go_on
        .cfi_endproc
        .size   mn_inject_resume, .-mn_inject_resume

// An XSAVE area that says: no component is in use. Of it only MXCSR is loaded; the rest is reset.
        .section .rodata.mn_fresh_state, "a", @progbits
        .p2align 6
        .type   mn_fresh_state, @object
        .size   mn_fresh_state, 576
mn_fresh_state:
        .zero   24
        .long   0x1f80                  // MXCSR
        .zero   548

        .section .note.GNU-stack, "", @progbits
