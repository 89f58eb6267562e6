// SPDX-License-Identifier: Apache-2.0
// Entry and notes of the benchmark kernel; rsi is the start info.
    .section .text
    .globl _start
_start:
    cld
    leaq stack_end(%rip), %rsp
    movq %rsi, %rdi
    call bench_main

// What the hypervisor pushes for an exception: rcx, r11, the error code if there is one, and a frame for IRET. Its CS
// says ring 0; the kernel is in ring 3, so IRET itself must find that there.
    .macro registers
    popq %rcx
    popq %r11
    .endm
    .macro return
    orb $3, 8(%rsp)
    iretq
    .endm

    .globl trap_invalid_opcode
trap_invalid_opcode:
    registers
    addq $2, (%rsp)         // past UD2
    return

    .globl trap_breakpoint
trap_breakpoint:
    registers
    return

// As kernels return that have events to watch.
    .globl trap_overflow
trap_overflow:
    registers
    pushq $0                // flags; the hypercall page's entry pushes the rest
    jmp hypercall_page + 23 * 32

    .globl trap_page_fault
trap_page_fault:
    registers
    addq $8, %rsp
    movq %rbx, (%rsp)
    return

// Nothing to do for an event; its return opens for the next one.
    .globl event_upcall
event_upcall:
    registers
    pushq %rax
    movq upcall_vcpu(%rip), %rax
    movb $0, (%rax)         // evtchn_upcall_pending
    movb $0, 1(%rax)        // evtchn_upcall_mask
    popq %rax
    return

    .section .bss
    .balign 4096
    .skip 8192
stack_end:

    .section .hypercalls, "ax", @nobits
    .balign 4096
    .globl hypercall_page
hypercall_page:
    .skip 4096

    .macro note type, value:vararg
    .balign 4
    .long 4, 3f - 2f, \type
    .asciz "Xen"
2:  \value
3:  .balign 4
    .endm
    .section .note.Xen, "a", @note
    note 5, .asciz "xen-3.0"
    note 6, .asciz "bench"
    note 8, .asciz "generic"
    note 3, .quad 0xffffffff80000000
    note 4, .quad 0
    note 1, .quad _start
    note 2, .quad hypercall_page
    note 15, .quad 0x8000000000        // INIT_P2M: where the list of machine frames goes
    .section .note.GNU-stack, "", @progbits
