// SPDX-License-Identifier: Apache-2.0
// Entry and notes of the benchmark kernel; rsi is the start info.
    .section .text
    .globl _start
_start:
    cld
    leaq stack_end(%rip), %rsp
    movq %rsi, %rdi
    call bench_main

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
