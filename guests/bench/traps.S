// SPDX-License-Identifier: Apache-2.0
// The shortest handlers there are: their instructions count too.
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

// Those of a kernel with a user mode: only the hypercall leads back there.
    .globl user_page_fault
user_page_fault:
    registers
    addq $8, %rsp
    movq %rbx, (%rsp)
    pushq $0
    jmp hypercall_page + 23 * 32

// System call 0 does nothing; any other one ends the user's program.
    .globl user_system_call
user_system_call:
    testl %eax, %eax
    jnz syscall_target
    registers
    pushq $0
    jmp hypercall_page + 23 * 32

// The user's programs: rdi times, and then the end.
    .globl user_calls
user_calls:
    xorl %eax, %eax
1:  syscall
    decq %rdi
    jnz 1b
    movl $1, %eax
    syscall

    .globl user_faults
user_faults:
    leaq 2f(%rip), %rbx     // where the handler goes on
    movl $0x1000, %ecx
1:  movb $0, (%rcx)
2:  movl $0x1000, %ecx
    decq %rdi
    jnz 1b
    movl $1, %eax
    syscall

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
    .section .note.GNU-stack, "", @progbits
