// SPDX-License-Identifier: Apache-2.0
// A PV guest of one page: what rounds of create and destroy, and the tests of how domains end, boot in no time.
// The first letter of its command line says what it does:
//   p  power off     r  reboot     c  crash by an undefined instruction     else  wait for ever, using no CPU
//   d  power off, with a watchpoint on the argument: the hypervisor itself runs into it when it reads that
// Assembled with -DDIES_AT_ONCE its first instruction is undefined.
#define HYPERVISOR_SET_DEBUGREG 8
#define HYPERVISOR_SCHED_OP 29
#define SCHEDOP_SHUTDOWN 2
#define SCHEDOP_POLL 3
#define SHUTDOWN_POWEROFF 0
#define SHUTDOWN_REBOOT 1
#define DR7_WATCH_8_BYTES_BY_DR0 0xb0003  // local and global, reads and writes
#define START_INFO_CMD_LINE 128
#define VIRT_BASE 0xffffffff80000000

    .section .text
    .globl _start
_start:
#ifdef DIES_AT_ONCE
    ud2
#endif
    cld
    movb START_INFO_CMD_LINE(%rsi), %al
    cmpb $'p', %al
    je power_off
    cmpb $'r', %al
    je reboot
    cmpb $'c', %al
    je crash
    cmpb $'d', %al
    je watched
wait:                                   // a poll of no port without a time limit; upcalls stay masked
    movl $SCHEDOP_POLL, %edi
    leaq poll_nothing(%rip), %rsi
    call hypercall_page + HYPERVISOR_SCHED_OP * 32
    jmp wait
power_off:
    movl $SHUTDOWN_POWEROFF, shutdown_reason(%rip)
    jmp shut_down
reboot:
    movl $SHUTDOWN_REBOOT, shutdown_reason(%rip)
    jmp shut_down
watched:
    movl $0, %edi
    leaq shutdown_reason(%rip), %rsi
    call hypercall_page + HYPERVISOR_SET_DEBUGREG * 32
    movl $7, %edi
    movl $DR7_WATCH_8_BYTES_BY_DR0, %esi
    call hypercall_page + HYPERVISOR_SET_DEBUGREG * 32
shut_down:
    movl $SCHEDOP_SHUTDOWN, %edi
    leaq shutdown_reason(%rip), %rsi
    call hypercall_page + HYPERVISOR_SCHED_OP * 32
crash:
    ud2

    .section .data
    .balign 8
poll_nothing:                           // ports, how many, time limit
    .quad 0
    .quad 0
    .quad 0
    .balign 8
shutdown_reason:
    .long 0
    .long 0

    .section .hypercalls, "ax", @nobits
    .balign 4096
hypercall_page:
    .skip 4096

    .macro note type, size:vararg
    .balign 4
    .long 4, 3f - 2f, \type             // length of "Xen", length of the value, what it is
    .asciz "Xen"
2:  \size
3:  .balign 4
    .endm

    .section .note.Xen, "a", @note
    note 5, .asciz "xen-3.0"            // XEN_VERSION
    note 6, .asciz "linux"              // GUEST_OS
    note 8, .asciz "generic"            // LOADER
    note 3, .quad VIRT_BASE             // VIRT_BASE
    note 4, .quad 0                     // PADDR_OFFSET
    note 1, .quad _start                // ENTRY
    note 2, .quad hypercall_page        // HYPERCALL_PAGE
