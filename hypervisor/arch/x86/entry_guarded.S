// SPDX-License-Identifier: Apache-2.0
// The ways in and out where the CPU must not be trusted to keep secrets: guests may run on a view of their own (page
// tables without the hypervisor, guest/pv/view.hpp), and the CPU's predictors and buffers may need orders.
//
// Of the stack only its last page is in every view. So entries take their frames there (SYSCALL and exceptions below the
// tail of CpuStackTop, where a guest's registers belong; NMI, #DB, double fault and machine check in its first 3 KiB),
// load the hypervisor's CR3 and go on below that page. Ways out take the same steps back: after the view is loaded
// nothing but that page and the pages of this code can be touched.

#include "hypervisor/arch/x86/entry.inc"

#define PAGE 4096
#define AFTER_TOP (1 - TOP_PAD)           /* from the stack's last byte to the tail of CpuStackTop */
#define T_HYPERVISOR_CR3 8
#define T_GUEST_CR3 16
#define T_GUARDS 24
#define T_SPEC_CTRL 28
#define T_GUEST_SPEC_CTRL 32
#define T_VERW 36
#define GUARD_SPEC_CTRL 1
#define GUARD_RSB 2
#define GUARD_IBPB 4
#define GUARD_VERW 8
#define MSR_SPEC_CTRL 0x48
#define MSR_PRED_CMD 0x49
#define FRAMES_OF_IST 0xc00               /* in the last page, 1 KiB each: double fault and machine check, NMI, #DB */
#define STACKS_OF_IST 4096                /* from the stack's start, 2 KiB each: where those go on */
#define IST_STACK_SIZE 2048

        /* rbp = the stack's last byte. Clobbers rax. */
        .macro LOAD_HYPERVISOR_VIEW
        mov     AFTER_TOP + T_HYPERVISOR_CR3(%rbp), %rax
        test    %rax, %rax
        jz      772f
        mov     %rax, %cr3
772:
        .endm

        /* What the predictors learned from the guest must not steer us. rbp = the stack's last byte, rsp on a page of ours.
           Clobbers rax, rbx, rcx, rdx. Before any RET. */
        .macro ENTER_GUARDS
        mov     AFTER_TOP + T_GUARDS(%rbp), %ebx
        test    $(GUARD_IBPB | GUARD_RSB | GUARD_SPEC_CTRL), %ebx
        jz      778f
        test    $GUARD_IBPB, %ebx
        jz      772f
        mov     $MSR_PRED_CMD, %ecx
        mov     $1, %eax
        xor     %edx, %edx
        wrmsr
772:    test    $GUARD_RSB, %ebx
        jz      775f
        /* 32 calls whose returns lead to a trap for speculation; the stack pointer forgets them at once. */
        mov     %rsp, %rax
        mov     $16, %ecx
773:    call    774f
776:    pause
        lfence
        jmp     776b
774:    call    774f
777:    pause
        lfence
        jmp     777b
774:    dec     %ecx
        jnz     773b
        mov     %rax, %rsp
775:    test    $GUARD_SPEC_CTRL, %ebx
        jz      778f
        mov     $MSR_SPEC_CTRL, %ecx
        mov     AFTER_TOP + T_SPEC_CTRL(%rbp), %eax
        xor     %edx, %edx
        wrmsr
        /* A branch above may have been taken wrongly ahead of time: nothing goes on before all are decided. */
778:    lfence
        .endm

        .section .text.entry, "ax"

        .balign 16
        .global guarded_trap
guarded_trap:
        CLAC_SITE
        cld
        PUSH_REST
        mov     %rsp, %rbp
        testb   $3, R_CS(%rsp)
        jz      inside
        or      $(PAGE - 1), %rbp
        LOAD_HYPERVISOR_VIEW
        /* A frame of the IST moves to where a guest's registers belong: the way out and a switch use those. */
        lea     AFTER_TOP - REGS_SIZE(%rbp), %rdi
        mov     %rdi, %rdx
        cmp     %rsp, %rdi
        je      1f
        mov     %rsp, %rsi
        mov     $(REGS_SIZE / 8), %ecx
        rep movsq
1:      mov     %rdx, %rdi
        lea     1 - PAGE(%rbp), %rsp
        ENTER_GUARDS
        call    trap_from_guest
        jmp     guarded_exit

        /* Interrupted in ring 0: on the ordinary stack, or (IST, and IRETQ's own faults) in the page of the views. */
inside: mov     %rsp, %rdi
        mov     %rsp, %rbx
        and     $(STACK_SIZE - 1), %ebp
        cmp     $(STACK_SIZE - PAGE), %ebp
        jae     1f
        xor     %ebp, %ebp
        and     $~15, %rsp
        call    trap_from_hypervisor
        mov     %rbx, %rsp
        POP_REST
        add     $8, %rsp
        iretq

        /* The view may be loaded, and the guest's SPEC_CTRL: as it was, it will be again. r12 = CR3, r13 = SPEC_CTRL */
1:      mov     %rsp, %rbp
        or      $(PAGE - 1), %rbp
        mov     %cr3, %r12
        LOAD_HYPERVISOR_VIEW
        testb   $GUARD_SPEC_CTRL, AFTER_TOP + T_GUARDS(%rbp)
        jz      2f
        mov     $MSR_SPEC_CTRL, %ecx
        rdmsr
        mov     %eax, %r13d
        mov     AFTER_TOP + T_SPEC_CTRL(%rbp), %eax
        xor     %edx, %edx
        wrmsr
2:      lfence
        /* Which of the stacks below: frames of the n-th KiB have the n-th; a fault of IRETQ has the ordinary one. */
        lea     1 - PAGE(%rbp), %rsp
        mov     %ebx, %ecx
        and     $(PAGE - 1), %ecx
        cmp     $FRAMES_OF_IST, %ecx
        jae     3f
        shr     $10, %ecx
        shl     $11, %ecx
        lea     STACKS_OF_IST + IST_STACK_SIZE + PAGE - STACK_SIZE(%rsp, %rcx), %rsp
3:      mov     %rbp, %r14
        xor     %ebp, %ebp
        call    trap_from_hypervisor
        testb   $GUARD_SPEC_CTRL, AFTER_TOP + T_GUARDS(%r14)
        jz      4f
        mov     $MSR_SPEC_CTRL, %ecx
        mov     %r13d, %eax
        xor     %edx, %edx
        wrmsr
4:      mov     %rbx, %rsp
        mov     %r12, %cr3
        POP_REST
        add     $8, %rsp
        iretq

        .balign 16
        .global guarded_syscall, guarded_syscall32
guarded_syscall:
        movq    $RING3_SS, 8(%rsp)
        push    %r11
        push    $RING3_CS64
        push    %rcx
        push    $0
        movl    $ENTRY_SYSCALL, 4(%rsp)
        PUSH_REST
        mov     %rsp, %rdi
        mov     %rsp, %rbp
        or      $(PAGE - 1), %rbp
        LOAD_HYPERVISOR_VIEW
        lea     1 - PAGE(%rbp), %rsp
        ENTER_GUARDS
        call    syscall_from_guest
        jmp     guarded_exit

        .balign 16
guarded_syscall32:
        movq    $RING3_SS, 8(%rsp)
        push    %r11
        push    $RING3_CS32
        push    %rcx
        push    $0
        movl    $ENTRY_SYSCALL32, 4(%rsp)
        PUSH_REST
        mov     %rsp, %rdi
        mov     %rsp, %rbp
        or      $(PAGE - 1), %rbp
        LOAD_HYPERVISOR_VIEW
        lea     1 - PAGE(%rbp), %rsp
        ENTER_GUARDS
        call    trap_from_guest

        /* The way out. rsp: anywhere in the stack's last page, or at its start. */
        .balign 16
        .global guarded_exit
guarded_exit:
        and     $~(PAGE - 1), %rsp
        call    prepare_guarded_exit    /* al: SYSRET will do */
        add     $(PAGE - TOP_PAD - REGS_SIZE), %rsp
        testb   $GUARD_SPEC_CTRL, REGS_SIZE + T_GUARDS(%rsp)
        jz      1f
        mov     %eax, %ebx
        mov     $MSR_SPEC_CTRL, %ecx
        mov     REGS_SIZE + T_GUEST_SPEC_CTRL(%rsp), %eax
        xor     %edx, %edx
        wrmsr
        mov     %ebx, %eax
1:      mov     REGS_SIZE + T_GUEST_CR3(%rsp), %rcx
        test    %rcx, %rcx
        jz      2f
        mov     %rcx, %cr3
2:      testb   $GUARD_VERW, REGS_SIZE + T_GUARDS(%rsp)
        jz      3f
        /* What is read from here on is the guest's own. */
        verw    REGS_SIZE + T_VERW(%rsp)
3:      test    %al, %al
        jz      4f
        POP_REST
        add     $8, %rsp
        mov     (%rsp), %rcx
        mov     16(%rsp), %r11
        mov     24(%rsp), %rsp
        sysretq
4:      POP_REST
        add     $8, %rsp
        .global guarded_iret
guarded_iret:
        iretq                           /* a fault here is the guest's: trap_from_hypervisor handles it */
        .section .note.GNU-stack, "", @progbits
