// SPDX-License-Identifier: Apache-2.0
// The kernel's entry points. The hypervisor pushes rcx and r11 on top of what a CPU pushes; the frame that C++ sees is
// the same for all of them (TrapFrame in traps.hpp).
    .macro enter vector, has_error
    popq %rcx
    popq %r11
    .if !\has_error
    pushq $0
    .endif
    pushq $\vector
    jmp common
    .endm

    .section .text.traps, "ax", @progbits
    .balign 32
    .globl exception_entries
exception_entries:              // 32 bytes each
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .balign 32
    .if (\n == 8) || ((\n >= 10) && (\n <= 14)) || (\n == 17) || (\n == 21) || (\n == 29) || (\n == 30)
    enter \n, 1
    .else
    enter \n, 0
    .endif
    .endr

    .macro entry name, vector
    .balign 16
    .globl \name
\name:
    enter \vector, 0
    .endm
    entry int80_target, 0x80
    entry syscall_target, 256
    entry sysenter_target, 258
    entry syscall32_target, 259
    entry nmi_target, 260
    entry event_target, 261

    .globl failsafe_target
failsafe_target:                // ds, es, fs and gs lie between r11 and the frame
    popq %rcx
    popq %r11
    addq $32, %rsp
    pushq $0
    pushq $257

common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    movq %rsp, %rbp
    andq $-16, %rsp
    call guest_trap
    movq %rbp, %rsp
    // Out through the hypercall, which sets the upcall mask from the frame's IF and looks for events in one go.
    .globl trap_return
trap_return:
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rax
    addq $8, %rsp               // the vector; the error code's place is the flags' now
    movq $0, (%rsp)
    jmp hypercall_page + 23 * 32

// bool guarded_call(void (*fn)(void*), void* argument, uint64_t* stack): false when fn returned, true when guarded_escape
// came first.
    .globl guarded_call
guarded_call:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $8, %rsp
    movq %rsp, (%rdx)
    movq %rdi, %rax
    movq %rsi, %rdi
    call *%rax
    xorl %eax, %eax
1:  addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

// [[noreturn]] void guarded_escape(uint64_t stack)
    .globl guarded_escape
guarded_escape:
    movq %rdi, %rsp
    pushq $2                    // no trap flag, no alignment check, strings go up
    popfq
    movl $1, %eax
    jmp 1b

// [[noreturn]] void user_entry(const IretContext*, uint64_t argument): into user mode with rdi = argument.
    .globl user_entry
user_entry:
    movq %rdi, %rsp
    addq $24, %rsp              // rax, r11 and rcx are pushed by the hypercall page
    movq -24(%rsp), %rax
    movq -16(%rsp), %r11
    movq -8(%rsp), %rcx
    movq %rsi, %rdi
    jmp hypercall_page + 23 * 32
    .section .note.GNU-stack, "", @progbits
