// SPDX-License-Identifier: Apache-2.0
// The ways into the hypervisor, but SYSCALL's (guest/entry/doors.S), and the one way out.
//
// Every entry builds a Regs (lib/x86/regs.hpp). Entries from a guest build it at the top of the CPU's stack, right
// below the pointer to the CPU's data, so that both are found from rsp alone and no segment register is needed.
// The C++ side may exchange the contents of that Regs for another vCPU's: leaving then enters that vCPU.

#include "hypervisor/arch/x86/entry.inc"

        .section .text.entry, "ax"

        /* The first five bytes of trap_common, syscall_common, syscall32_common and exit_to_guest become a jump to their
           guarded forms (entry_guarded.S) where a guest's view or a CPU's speculation needs more: see guard_entries(). */

        /* ---- exceptions and interrupts: one 16-byte stub a vector ---- */
        .balign 16
        .global vector_stubs
vector_stubs:
        vec = 0
        .rept 256
        .balign 16
        .if (vec == 8) || (vec >= 10 && vec <= 14) || (vec == 17) || (vec == 21) || (vec == 29) || (vec == 30)
        .else
        push    $0
        .endif
        movl    $vec, 4(%rsp)
        jmp     trap_common
        vec = vec + 1
        .endr

        .balign 16
        .global trap_common, syscall32_common
trap_common:
        CLAC_SITE
        cld
        PUSH_REST
        mov     %rsp, %rdi
        testb   $3, R_CS(%rsp)
        jz      1f
        /* A frame on a stack of the IST moves to where a guest's registers belong: the way out and a switch use those. */
        mov     %rsp, %rsi
        or      $(STACK_SIZE - 1), %rdi
        sub     $(TOP_PAD + REGS_SIZE - 1), %rdi
        cmp     %rsi, %rdi
        je      2f
        mov     %rdi, %rdx
        mov     $(REGS_SIZE / 8), %ecx
        rep movsq
        mov     %rdx, %rdi
        mov     %rdx, %rsp
2:      call    trap_from_guest
        jmp     exit_to_guest
1:      xor     %ebp, %ebp
        mov     %rsp, %rbx
        and     $~15, %rsp
        call    trap_from_hypervisor
        mov     %rbx, %rsp
        POP_REST
        add     $8, %rsp
        iretq

        .balign 16
syscall32_common:
        movq    $RING3_SS, 8(%rsp)
        push    %r11
        push    $RING3_CS32
        push    %rcx
        push    $0
        movl    $ENTRY_SYSCALL32, 4(%rsp)
        PUSH_REST
        mov     %rsp, %rdi
        call    trap_from_guest
        jmp     exit_to_guest

        /* ---- the way out: rsp is at the Regs on top of the stack ---- */
        .balign 16
        .global exit_to_guest
exit_to_guest:
        call    prepare_exit            /* al: SYSRET will do */
        test    %al, %al
        jz      2f
        POP_REST
        add     $8, %rsp
        mov     (%rsp), %rcx
        mov     16(%rsp), %r11
        mov     24(%rsp), %rsp
        sysretq
2:      POP_REST
        add     $8, %rsp
        .global guest_iret
guest_iret:
        iretq                           /* a fault here is the guest's: trap_from_hypervisor handles it */

        /* First entry into a guest on this CPU: rdi = top-of-stack Regs. */
        .global enter_first_guest
enter_first_guest:
        mov     %rdi, %rsp
        jmp     exit_to_guest

        /* ---- SYSCALL: two stubs a CPU (64-bit and compatibility mode), because nothing but RIP tells which CPU this is. A
           page holds those of 64 CPUs, and a guest's view the page with its CPU's. ---- */
        .section .text.stubs, "ax"
        .balign 4096
        .global syscall_stubs
syscall_stubs:
        cpu = 0
        .rept MAX_CPUS
        .irp common, syscall_common, syscall32_common
        .balign 32
        mov     %rsp, cpu_stacks + (cpu + 1) * STACK_SIZE - TOP_PAD - 16(%rip)
        lea     cpu_stacks + (cpu + 1) * STACK_SIZE - TOP_PAD - 16(%rip), %rsp
        jmp     \common
        .endr
        cpu = cpu + 1
        .endr

        .text
        .balign 16
        /* Loads a segment register; a selector that faults becomes null. edi = selector */
        .macro LOAD_SEG name, reg
        .global load_\name
load_\name:
1:      mov     %edi, %\reg
        ret
2:      xor     %eax, %eax
        mov     %eax, %\reg
        ret
        .pushsection .extable, "a"
        .quad 1b, 2b
        .popsection
        .endm
        LOAD_SEG ds, ds
        LOAD_SEG es, es
        LOAD_SEG fs, fs
        /* GS: the base of the user's gs is the one behind KERNEL_GS_BASE while the guest's kernel runs. */
        .global load_gs_swapped
load_gs_swapped:
        swapgs
1:      mov     %edi, %gs
        swapgs
        ret
2:      xor     %eax, %eax
        mov     %eax, %gs
        swapgs
        ret
        .pushsection .extable, "a"
        .quad 1b, 2b
        .popsection

        /* rdmsr/wrmsr that may fault. edi = msr, rsi = value or pointer; returns 0 or 1 (faulted) */
        .global rdmsr_fault_safe, wrmsr_fault_safe
rdmsr_fault_safe:
        mov     %edi, %ecx
1:      rdmsr
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, (%rsi)
        xor     %eax, %eax
        ret
2:      mov     $1, %eax
        ret
wrmsr_fault_safe:
        mov     %edi, %ecx
        mov     %esi, %eax
        mov     %rsi, %rdx
        shr     $32, %rdx
3:      wrmsr
        xor     %eax, %eax
        ret
        .pushsection .extable, "a"
        .quad 1b, 2b
        .quad 3b, 2b
        .popsection
        .section .note.GNU-stack, "", @progbits
