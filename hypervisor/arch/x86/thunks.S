// SPDX-License-Identifier: Apache-2.0
// Where the compilers send indirect calls and jumps (-mindirect-branch=thunk-extern, -mretpoline-external-thunk): one
// thunk a register. As assembled they are retpolines: the branch is taken by a return, and what the CPU predicts for that
// return is a trap. choose_thunk() puts a plain branch, or one behind an LFENCE, in their place.

        .macro THUNK reg
        .section .text.thunk.\reg, "ax"
        .balign 32
        .global __x86_indirect_thunk_\reg
__x86_indirect_thunk_\reg:
        call    2f
1:      pause
        lfence
        jmp     1b
2:      mov     %\reg, (%rsp)
        ret
        .pushsection .rodata.thunk, "a"
3:      lfence
4:      jmp     *%\reg
5:
        .popsection
        .pushsection .thunk_sites, "a"
        .quad __x86_indirect_thunk_\reg, 3b, 4b, 5b
        .popsection
        .endm

        .irp reg, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        THUNK \reg
        .endr
        .section .note.GNU-stack, "", @progbits
