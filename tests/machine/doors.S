// SPDX-License-Identifier: Apache-2.0
// The doors of SYSCALL (guest/entry/doors.S) as code of the host: model_run() goes in with a guest's registers, and comes back with those
// that the guest would go on with, or with those that the long way would find. tests/host/hv_doors_test.cpp is its user.
#define DOORS_MODEL
#define SITES "aw"                        /* a program of the host may lie anywhere */
#define EXTABLE doors_extable
#include "hypervisor/guest/entry/doors.S"

        .data
        .balign 8
        .global _ZN2hv4arch12plain_startsE, model_gs, model_cr3
_ZN2hv4arch12plain_startsE:
        .quad   0
model_cr3:
        .quad   0
model_out:
        .quad   0
model_sp:
        .quad   0
model_rsp:
        .quad   0
model_rax:
        .quad   0
model_gs:
        .byte   0

        .text
        /* int model_run(uint64_t registers[16], uint64_t* rsp_of_regs): rax rcx rdx rbx rbp rsi rdi r8 … r15 of the guest */
        .global model_run
model_run:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rdi, model_out(%rip)
        mov     %rsp, model_sp(%rip)
        mov     %rsi, %rsp
        mov     (%rdi), %rax
        mov     8(%rdi), %rcx
        mov     16(%rdi), %rdx
        mov     24(%rdi), %rbx
        mov     32(%rdi), %rbp
        mov     40(%rdi), %rsi
        mov     56(%rdi), %r8
        mov     64(%rdi), %r9
        mov     72(%rdi), %r10
        mov     80(%rdi), %r11
        mov     88(%rdi), %r12
        mov     96(%rdi), %r13
        mov     104(%rdi), %r14
        mov     112(%rdi), %r15
        mov     48(%rdi), %rdi
        jmp     syscall_common

        .macro COME_BACK name, how
\name:  mov     %rax, model_rax(%rip)
        mov     $\how, %eax
        jmp     model_back
        .endm
        COME_BACK model_guest, 1
        COME_BACK model_guest_by_iret, 2
        COME_BACK model_long_way, 3
        COME_BACK model_no_frame, 4

model_back:
        mov     %rsp, model_rsp(%rip)
        mov     model_sp(%rip), %rsp
        push    %rdi
        mov     model_out(%rip), %rdi
        mov     %rcx, 8(%rdi)
        mov     %rdx, 16(%rdi)
        mov     %rbx, 24(%rdi)
        mov     %rbp, 32(%rdi)
        mov     %rsi, 40(%rdi)
        mov     %r8, 56(%rdi)
        mov     %r9, 64(%rdi)
        mov     %r10, 72(%rdi)
        mov     %r11, 80(%rdi)
        mov     %r12, 88(%rdi)
        mov     %r13, 96(%rdi)
        mov     %r14, 104(%rdi)
        mov     %r15, 112(%rdi)
        pop     %rcx
        mov     %rcx, 48(%rdi)
        mov     model_rax(%rip), %rcx
        mov     %rcx, (%rdi)
        mov     model_rsp(%rip), %rcx
        mov     %rcx, 120(%rdi)
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret
        .section .note.GNU-stack, "", @progbits
