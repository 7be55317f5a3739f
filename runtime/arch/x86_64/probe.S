// SPDX-License-Identifier: Apache-2.0
// The accesses of probe.h. Leaf functions without a frame: a fault resumes at mn_probe_failed, which returns.

        .text

        .macro  BEGIN name
        .globl  \name
        .hidden \name
        .type   \name, @function
        .p2align 4
\name:
        .cfi_startproc
        .endm

        .macro  END name
        .cfi_endproc
        .size   \name, . - \name
        .endm

        .macro  MAY_FAULT name
        .globl  \name
        .hidden \name
\name:
        .endm

// int64_t mn_probe_load(const uint32_t* from /*rdi*/)
        BEGIN   mn_probe_load
        MAY_FAULT mn_probe_load_at
        movl    (%rdi), %eax
        ret
        END     mn_probe_load

// int64_t mn_probe_exchange(uint32_t* at /*rdi*/, uint32_t expected /*esi*/, uint32_t desired /*edx*/)
        BEGIN   mn_probe_exchange
        movl    %esi, %eax
        MAY_FAULT mn_probe_exchange_at
        lock cmpxchgl %edx, (%rdi)
        ret
        END     mn_probe_exchange

// int64_t mn_probe_copy(void* to /*rdi*/, const void* from /*rsi*/, size_t size /*rdx*/)
        BEGIN   mn_probe_copy
        movq    %rdx, %rcx
        MAY_FAULT mn_probe_copy_at
        rep movsb
        xorl    %eax, %eax
        ret
        END     mn_probe_copy

        BEGIN   mn_probe_failed
        movq    $-1, %rax
        ret
        END     mn_probe_failed

        .section .note.GNU-stack, "", @progbits
