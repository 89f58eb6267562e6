// SPDX-License-Identifier: Apache-2.0
// Where a guest starts (rsi is the start info), its stacks, its hypercall page and what it tells the loader.
    .section .text.start, "ax", @progbits
    .globl _start
_start:
    cld
    leaq vcpu_stacks + 16384(%rip), %rsp
    movq %rsi, %rdi
    call guest_start

    .section .bss.stacks, "aw", @nobits
    .balign 16384
    .globl vcpu_stacks
vcpu_stacks:
    .skip 32 * 16384

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
    note 6, .asciz "tiny"
    note 8, .asciz "generic"
    note 2, .quad hypercall_page
#ifndef GUEST_GENERIC              // else: entered where the ELF header says, virtual base 0, the list in the first mapping
    note 3, .quad 0xffffffff80000000
    note 4, .quad 0
    note 1, .quad _start
    note 15, .quad 0x8000000000        // INIT_P2M: where the list of machine frames goes
#endif
    .section .note.GNU-stack, "", @progbits
