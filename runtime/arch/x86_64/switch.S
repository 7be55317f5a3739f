// SPDX-License-Identifier: Apache-2.0
// Context switch for x86-64 System V. What a saved context looks like, from its stack pointer upwards:
//
//     +0x00  MXCSR (4 bytes), x87 control word (2), padding (2)
//     +0x08  r15
//     +0x10  r14
//     +0x18  r13
//     +0x20  r12
//     +0x28  rbx
//     +0x30  rbp
//     +0x38  return address
//
// A fresh context (context_make) has mn_context_start as its return address, its entry in rbx and its argument in r12.
// The frame size is known to context.cc as kFrameSize.

        .text

// void mn_switch_*(void** save_sp /*rdi*/, void* load_sp /*rsi*/, void* tp /*rdx*/)
        .macro  SWITCH name
        .globl  \name
        .hidden \name
        .type   \name, @function
        .p2align 4
\name:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movl    (%rsp), %r8d
        movzwl  4(%rsp), %r9d
        movq    %rsp, (%rdi)
        // The frame has the same shape on both stacks, so the unwind description above stays true.
        movq    %rsi, %rsp
        .endm

        .macro  RESUME name
        // Loading either control register costs more than comparing: they hardly ever differ.
        cmpl    (%rsp), %r8d
        jne     1f
2:      cmpw    4(%rsp), %r9w
        jne     3f
4:      addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        ret
        .cfi_adjust_cfa_offset 56
        .cfi_rel_offset %rbp, 48
        .cfi_rel_offset %rbx, 40
        .cfi_rel_offset %r12, 32
        .cfi_rel_offset %r13, 24
        .cfi_rel_offset %r14, 16
        .cfi_rel_offset %r15, 8
1:      ldmxcsr (%rsp)
        jmp     2b
3:      fldcw   4(%rsp)
        jmp     4b
        .cfi_endproc
        .size   \name, .-\name
        .endm

        SWITCH  mn_switch_fsgsbase
        wrfsbase %rdx
        RESUME  mn_switch_fsgsbase

        SWITCH  mn_switch_prctl
        movq    %rdx, %rsi
        movl    $0x1002, %edi           // ARCH_SET_FS
        movl    $158, %eax              // arch_prctl
        syscall                         // clobbers rcx, r11; r8 and r9 live on
        testl   %eax, %eax
        jne     mn_refused_stub
        RESUME  mn_switch_prctl

// Where no switch can be made. The stack pointer is of unknown alignment.
        .type   mn_refused_stub, @function
        .p2align 4
mn_refused_stub:
        .cfi_startproc
        .cfi_undefined %rip
        andq    $-16, %rsp
        callq   mn_thread_pointer_refused
        ud2
        .cfi_endproc
        .size   mn_refused_stub, .-mn_refused_stub

// The bottom of every stack: entry in rbx, argument in r12. An undefined return address ends every backtrace here.
        .globl  mn_context_start
        .hidden mn_context_start
        .type   mn_context_start, @function
        .p2align 4
mn_context_start:
        .cfi_startproc
        .cfi_undefined %rip
        xorl    %ebp, %ebp
        movq    %r12, %rdi
        callq   *%rbx
        ud2
        .cfi_endproc
        .size   mn_context_start, .-mn_context_start

// Where a jump that libc prepared ends: the stack pointer is a caller's, of unknown alignment.
        .globl  mn_bottom_stub
        .hidden mn_bottom_stub
        .type   mn_bottom_stub, @function
        .p2align 4
mn_bottom_stub:
        .cfi_startproc
        .cfi_undefined %rip
        andq    $-16, %rsp
        xorl    %ebp, %ebp
        callq   *mn_bottom_target(%rip)
        ud2
        .cfi_endproc
        .size   mn_bottom_stub, .-mn_bottom_stub

// void mn_call_guarded(void (*fn)(void*) /*rdi*/, void* arg /*rsi*/): calls fn(arg). When an exception, a
// cancellation or pthread_exit unwinds through it, the personality routine runs the guard of the current G
// (sync/guard.cc) and lets the unwinding go on.
        .globl  mn_call_guarded
        .hidden mn_call_guarded
        .type   mn_call_guarded, @function
        .p2align 4
mn_call_guarded:
        .cfi_startproc
        .cfi_personality 0x9b, mn_guard_personality_ref
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        movq    %rdi, %rax
        movq    %rsi, %rdi
        callq   *%rax
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        ret
        .cfi_endproc
        .size   mn_call_guarded, .-mn_call_guarded

        .section .data.rel.local.mn_guard_personality_ref, "aw", @progbits
        .p2align 3
        .type   mn_guard_personality_ref, @object
        .size   mn_guard_personality_ref, 8
mn_guard_personality_ref:
        .quad   mn_guard_personality

        .section .note.GNU-stack, "", @progbits
