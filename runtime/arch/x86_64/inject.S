// SPDX-License-Identifier: Apache-2.0
// The landing of an injected call (inject.h). What it finds and makes below the interrupted stack pointer S:
//
//     S-128        red zone, untouched
//     S-136        interrupted program counter, put there by inject_call()
//     S-144        flags
//     S-264        rax rbx rcx rdx rsi rdi rbp r8 ... r15, rax at the top; rbp points here
//     below        XSAVE area, at a multiple of 64; rsp points here
//
// The stack pointer is restored by the return instruction, which drops the red zone with the program counter.

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

        .text
        .globl  mn_inject_stub
        .hidden mn_inject_stub
        .type   mn_inject_stub, @function
        .p2align 4
mn_inject_stub:
        .cfi_startproc
        .cfi_signal_frame
        .cfi_def_cfa %rsp, 136
        .cfi_offset %rip, -136
        pushfq
        .cfi_adjust_cfa_offset 8
        PUSH    rax
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
1:      subq    (%rbx), %rsp
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
        callq   *mn_inject_target(%rip)
        movl    8(%rbx), %eax
        movl    12(%rbx), %edx
        xrstor64 (%rsp)
        jmp     5f

4:      fxsave64 (%rsp)
        fninit
        ldmxcsr mn_fresh_state+24(%rip)
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
        POP     rax
        popfq
        .cfi_adjust_cfa_offset -8
        ret     $128
        .cfi_endproc
        .size   mn_inject_stub, .-mn_inject_stub

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
