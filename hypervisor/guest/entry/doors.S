// SPDX-License-Identifier: Apache-2.0
// SYSCALL. The two doors through which a PV guest's programs and its kernel take turns all day, a system call and the kernel's return
// from it, are a few instructions here for what nearly always is: nothing pends, no one looks, and SYSRET can go there. Anything else leaves
// memory and registers as they were and goes the long way, through Regs and C++ code (pv_system_call, pv_return), of which this is
// the short form; tests/host/hv_doors_test.cpp runs both on the same states. Hypercalls take the long way too.
//
// The marks in vcpu_info go unnamed: its page counts as written whenever a log of dirty pages ends (domain/dirty_log.hpp).

#ifdef DOORS_MODEL                        /* the host's: what only ring 0 may do leaves a trace instead */
#define SWAP_GS xorb $1, model_gs(%rip)
#define LOAD_CR3(r) mov r, model_cr3(%rip)
#define RETURN_TO_GUEST jmp model_guest
#define RETURN_BY_IRET jmp model_guest_by_iret
#else
#define SWAP_GS swapgs
#define LOAD_CR3(r) mov r, %cr3
#define RETURN_TO_GUEST sysretq
#define RETURN_BY_IRET jmp guest_iret
#define EXTABLE .extable
#endif

#include "hypervisor/arch/x86/entry.inc"

/* The stub left rsp at the rsp of Regs, on top of the CPU's stack (CpuStackTop). The doors go on at its beginning: a fault of theirs
   pushes its frame below rsp. */
#define REG(x) R_##x(%rsp)
#define TOP_CPU REGS_SIZE(%rsp)
#define T_DOORS 40
#define TOP_DOORS (REGS_SIZE + T_DOORS)(%rsp)
/* Cpu */
#define C_CURRENT 8
#define C_PENDING 24
#define C_TLB_TIME 40
#define C_LOADED_CR3 48
#define C_PREEMPT_DEADLINE 64
/* PvDoors */
#define D_KERNEL_CR3 0
#define D_USER_CR3 8
#define D_IN_KERNEL 16
#define D_NMI_PENDING 17
#define D_QUICK_CALL 24
#define D_QUICK_FRAME 32
#define D_INFO 40
#define D_STALE 48
#define D_ASSISTS 56
/* vcpu_info */
#define I_UPCALL_PENDING 0
#define I_UPCALL_MASK 1

#define tlb_clock _ZN2hv9tlb_clockE
#define hypercall_dispatch _ZN2hv18hypercall_dispatchERNS_4VcpuERN3x864RegsE
#define plain_starts _ZN2hv4arch12plain_startsE
#define HYPERCALL_IRET 23
#define ASSIST_ARCHITECTURAL_IOPL 0x10
#define IN_SYSCALL 0x100
#define RING0_CS64 0xe030                /* as frames show the kernel's */
#define LINUX_CS64 0x33                  /* of its own descriptor table, which IRET looks into */
#define LINUX_SS 0x2b
#define FLAG_IF 0x200
#define FLAGS_IF_IOPL 0x3200
#define FLAGS_TF_RF 0x10100
#define FLAGS_NOT_BY_SYSRET 0x30100
#define FLAGS_KEPT_BY_RETURN 0x250dd5     /* pv_return(): all of its program's but IOPL, VM, NT, VIF, VIP */
#define FLAGS_SET_BY_RETURN 0x202
#define FLAGS_CLEAR_IN_HANDLER 0x74100    /* AC, VM, RF, NT, TF */
#define MINUS_GUEST_FIRST 0x780000000000

        /* An instruction that touches the guest's memory; a fault of it goes on at \else. */
        .macro TOUCH else, instruction:vararg
779:    \instruction
        .pushsection EXTABLE, SITES
        .quad 779b, \else
        .popsection
        .endm

        /* Goes on at \else unless bits 47 to 63 of \address are all the same. Clobbers rax. */
        .macro CANONICAL address, else
        mov     \address, %rax
        sar     $47, %rax
        inc     %rax
        cmp     $1, %rax
        ja      \else
        .endm

        /* Events are as IF of the flags in r9 says. doors in rcx; clobbers rax. */
        .macro SET_MASK
        mov     D_INFO(%rcx), %rax
        mov     (%rax), %rax
        test    $FLAG_IF, %r9d
        setz    I_UPCALL_MASK(%rax)
        .endm

        /* The registers that an IRET is to leave, from the frame at rsi: rcx and r11 to Regs, rax to rsi. */
        .macro LOAD_FOR_IRET
        TOUCH   long_return_closed, mov 16(%rsi), %rax
        mov     %rax, REG(RCX)
        TOUCH   long_return_closed, mov 8(%rsi), %rax
        mov     %rax, REG(R11)
        TOUCH   long_return_closed, mov (%rsi), %rsi
        CLAC_SITE
        .endm

        /* The kernel's page tables make place for the program's. doors in rcx, CPU in rdx. */
        .macro LOAD_PROGRAM
        SET_MASK
        movb    $0, D_IN_KERNEL(%rcx)
        SWAP_GS
        mov     D_USER_CR3(%rcx), %rax
        shl     $12, %rax
        mov     %rax, C_LOADED_CR3(%rdx)
        mov     tlb_clock(%rip), %ecx
        LOAD_CR3(%rax)
        mov     %ecx, C_TLB_TIME(%rdx)
        .endm

        /* Regs of a SYSCALL, but for what calls preserve: that is stored only before somebody else's may come. */
        .macro BUILD_REGS
        movq    $RING3_SS, REG(SS)
        movq    $RING3_CS64, REG(CS)
        add     $R_RIP, %rsp
        push    syscall_vector(%rip)
        push    %rdi
        push    %rsi
        push    %rdx
        push    %rcx
        push    %rax
        push    %r8
        push    %r9
        push    %r10
        push    %r11
        sub     $R_R11, %rsp
        mov     %rsp, %rdi
        .endm

        /* And what calls preserve, for those that may show the guest's registers. */
        .macro STORE_REST
        mov     %rbx, 40(%rsp)
        mov     %rbp, 32(%rsp)
        mov     %r12, 24(%rsp)
        mov     %r13, 16(%rsp)
        mov     %r14, 8(%rsp)
        mov     %r15, (%rsp)
        .endm

        .section .text.entry, "ax"

        .balign 16
        .global syscall_common
syscall_common:
        mov     %rcx, (R_RIP - R_RSP)(%rsp)     /* see guard_entries() */
        .if (. - syscall_common) < 5
        .error "a jump does not fit over the first instruction"
        .endif
        sub     $R_RSP, %rsp
        mov     %r11, REG(RFLAGS)
        mov     TOP_DOORS, %rcx
        cmpb    $0, D_IN_KERNEL(%rcx)
        jne     from_kernel

        /* ---- a program calls its kernel ---- */
        mov     %rax, REG(RAX)
        mov     %rdx, REG(RDX)
        mov     %rsi, REG(RSI)
        mov     TOP_CPU, %rdx
        cmpl    $0, C_PENDING(%rdx)
        jne     long_call
        cmpb    $0, D_NMI_PENDING(%rcx)
        jne     long_call
        mov     D_STALE(%rcx), %rax
        cmpb    $0, (%rax)
        jne     long_call
        mov     D_ASSISTS(%rcx), %rax
        testb   $ASSIST_ARCHITECTURAL_IOPL, (%rax)
        jnz     long_call
        cmpq    $0, D_QUICK_CALL(%rcx)
        je      long_call
        cmpq    $0, D_QUICK_FRAME(%rcx)
        je      long_call
        cmpq    $0, plain_starts(%rip)
        je      long_call
        mov     D_KERNEL_CR3(%rcx), %rax
        test    %rax, %rax
        jz      long_call
        movb    $1, D_IN_KERNEL(%rcx)
        SWAP_GS
        shl     $12, %rax
        mov     %rax, C_LOADED_CR3(%rdx)
        mov     tlb_clock(%rip), %esi
        LOAD_CR3(%rax)
        mov     %esi, C_TLB_TIME(%rdx)
        mov     D_INFO(%rcx), %rdx
        mov     (%rdx), %rdx
        mov     D_QUICK_FRAME(%rcx), %rsi
        /* The frame: rcx, r11, rip, cs with the mask above it, rflags with the mask as IF, rsp, ss. */
        xor     %eax, %eax
        cmpb    $0, I_UPCALL_MASK(%rdx)
        setne   %al
        STAC_SITE
        TOUCH   no_frame, mov %eax, 28(%rsi)
        xor     $1, %eax
        shl     $9, %eax
        TOUCH   no_frame, mov %r11, 8(%rsi)
        and     $~FLAGS_IF_IOPL, %r11
        or      %rax, %r11
        TOUCH   no_frame, mov %r11, 32(%rsi)
        mov     REG(RIP), %rax
        TOUCH   no_frame, mov %rax, (%rsi)
        TOUCH   no_frame, mov %rax, 16(%rsi)
        mov     REG(RSP), %rax
        TOUCH   no_frame, mov %rax, 40(%rsi)
        TOUCH   no_frame, movl $RING3_CS64, 24(%rsi)
        TOUCH   no_frame, movq $RING3_SS, 48(%rsi)
        CLAC_SITE
        movb    $1, I_UPCALL_MASK(%rdx)
        mov     REG(RFLAGS), %r11
        and     $~FLAGS_CLEAR_IN_HANDLER, %r11
        mov     D_QUICK_CALL(%rcx), %rcx
        mov     %rsi, REG(RSP)
        mov     REG(RAX), %rax
        mov     REG(RDX), %rdx
        mov     REG(RSI), %rsi
        mov     REG(RSP), %rsp
        RETURN_TO_GUEST

no_frame:
        CLAC_SITE
        mov     REG(RIP), %rcx
        mov     REG(RFLAGS), %r11
        mov     REG(RAX), %rax
        mov     REG(RDX), %rdx
        mov     REG(RSI), %rsi
#ifdef DOORS_MODEL
        jmp     model_no_frame
#else
        BUILD_REGS
        STORE_REST
        call    no_system_call_frame
        jmp     work
#endif

        /* ---- its kernel calls us, most often to return to a program or to itself: rax, rcx and r11 are free then ---- */
from_kernel:
        cmp     $HYPERCALL_IRET, %rax
        jne     long_way
        mov     %rdx, REG(RDX)
        mov     %rsi, REG(RSI)
        mov     %rdi, REG(RDI)
        mov     %r8, REG(R8)
        mov     %r9, REG(R9)
        mov     TOP_CPU, %rdx
        cmpl    $0, C_PENDING(%rdx)
        jne     long_return
        cmpb    $0, D_NMI_PENDING(%rcx)
        jne     long_return
        mov     D_ASSISTS(%rcx), %rax
        testb   $ASSIST_ARCHITECTURAL_IOPL, (%rax)
        jnz     long_return
        /* Where a frame may be tried; what the CPU does ahead of the answer finds it at 0. */
        mov     REG(RSP), %rsi
        mov     $MINUS_GUEST_FIRST, %rax
        add     %rsi, %rax
        cmp     plain_starts(%rip), %rax
        sbb     %rax, %rax
        jae     long_return
        and     %rax, %rsi
        STAC_SITE
        /* The frame: rax, r11, rcx, flags, rip, cs, rflags, rsp, ss. Each word is read once but where a second reading says the same. */
        TOUCH   long_return_closed, mov 48(%rsi), %r9
        TOUCH   long_return_closed, mov 32(%rsi), %rdi
        TOUCH   long_return_closed, mov 56(%rsi), %r8
        mov     D_INFO(%rcx), %rax
        mov     (%rax), %rax
        cmpb    $0, I_UPCALL_PENDING(%rax)
        jne     event_waits
no_event:
        mov     %r9d, %r11d
        and     $FLAGS_KEPT_BY_RETURN, %r11d
        or      $FLAGS_SET_BY_RETURN, %r11d
        TOUCH   long_return_closed, movzwl 40(%rsi), %eax
        cmp     $RING3_CS64, %eax
        jne     other_selectors
        TOUCH   long_return_closed, cmpw $RING3_SS, 64(%rsi)
        jne     long_return_closed
        cmpq    $0, D_USER_CR3(%rcx)
        je      long_return_closed
        /* SYSRET will do where it leaves rcx and r11 as they are to be. */
        CANONICAL %rdi, long_return_closed
        TOUCH   long_return_closed, testl $IN_SYSCALL, 24(%rsi)
        jnz     1f
        TOUCH   long_return_closed, cmp %rdi, 16(%rsi)
        jne     by_iret
        TOUCH   long_return_closed, cmp %r11, 8(%rsi)
        jne     by_iret
1:      test    $FLAGS_TF_RF, %r11d
        jnz     long_return_closed
        TOUCH   long_return_closed, mov (%rsi), %rsi
        CLAC_SITE
        LOAD_PROGRAM
        mov     %rsi, %rax
        mov     %rdi, %rcx
        mov     %r8, REG(RSP)
        mov     REG(RDX), %rdx
        mov     REG(RSI), %rsi
        mov     REG(RDI), %rdi
        mov     REG(R8), %r8
        mov     REG(R9), %r9
        mov     REG(RSP), %rsp
        RETURN_TO_GUEST

        /* A program that did not come by SYSCALL. */
by_iret:
        LOAD_FOR_IRET
        LOAD_PROGRAM
        jmp     iret_frame

other_selectors:
        cmp     $LINUX_CS64, %eax
        jne     to_kernel
        /* Linux gives its programs selectors of its own, whatever they called with: SYSRET knows only ours. */
        TOUCH   long_return_closed, cmpw $LINUX_SS, 64(%rsi)
        jne     long_return_closed
        cmpq    $0, D_USER_CR3(%rcx)
        je      long_return_closed
        TOUCH   long_return_closed, testl $IN_SYSCALL, 24(%rsi)
        jnz     long_return_closed
        LOAD_FOR_IRET
        LOAD_PROGRAM
        movq    $LINUX_CS64, REG(CS)
        movq    $LINUX_SS, REG(SS)
        jmp     iret_registers

        /* Its kernel, which an exception or an event interrupted. */
to_kernel:
        cmp     $RING0_CS64, %eax
        jne     long_return_closed
        TOUCH   long_return_closed, cmpw $RING3_SS, 64(%rsi)
        jne     long_return_closed
        TOUCH   long_return_closed, testl $IN_SYSCALL, 24(%rsi)
        jnz     long_return_closed
        LOAD_FOR_IRET
        SET_MASK
iret_frame:
        movq    $RING3_CS64, REG(CS)
        movq    $RING3_SS, REG(SS)
iret_registers:
        mov     %rsi, %rax
        mov     %rdi, REG(RIP)
        mov     %r11, REG(RFLAGS)
        mov     %r8, REG(RSP)
        mov     REG(RCX), %rcx
        mov     REG(R11), %r11
        mov     REG(RDX), %rdx
        mov     REG(RSI), %rsi
        mov     REG(RDI), %rdi
        mov     REG(R8), %r8
        mov     REG(R9), %r9
        lea     REG(RIP), %rsp
        RETURN_BY_IRET

event_waits:
        test    $FLAG_IF, %r9d
        jz      no_event
long_return_closed:
        CLAC_SITE
        mov     REG(R8), %r8
        mov     REG(R9), %r9
long_return:
        mov     REG(RDI), %rdi
        mov     $HYPERCALL_IRET, %eax
        jmp     2f
long_call:
        mov     REG(RAX), %rax
2:      mov     REG(RDX), %rdx
        mov     REG(RSI), %rsi
        mov     REG(RFLAGS), %r11
#ifdef DOORS_MODEL
long_way:
        mov     REG(RIP), %rcx
        jmp     model_long_way
#else
        mov     REG(RIP), %rcx
        BUILD_REGS
        STORE_REST
        call    syscall_from_guest
        jmp     leave
long_way:
        mov     REG(RIP), %rcx
        BUILD_REGS
        mov     %rsp, %rsi
        mov     REGS_SIZE(%rsp), %rdi
        mov     C_CURRENT(%rdi), %rdi
        call    hypercall_dispatch

        /* What C++ code gives back as it was in registers need not be loaded again, since nobody has changed it in Regs either:
           another vCPU and other registers come by prepare_exit() alone. A flush that is asked for comes with an interrupt,
           which is taken before the guest's first instruction. */
leave:
        mov     REGS_SIZE(%rsp), %rdx
        cmpl    $0, C_PENDING(%rdx)
        jne     work
        mov     REGS_SIZE + T_DOORS(%rsp), %rcx
        cmpb    $0, D_NMI_PENDING(%rcx)
        jne     delivery
        mov     D_INFO(%rcx), %rax
        mov     (%rax), %rax
        cmpb    $0, I_UPCALL_PENDING(%rax)
        jne     upcall_waits
nothing_waits:
        movq    $0, C_PREEMPT_DEADLINE(%rdx)
        /* pv_can_sysret() */
        cmpl    $ENTRY_SYSCALL, R_VECTOR(%rsp)
        jne     leave_by_iret
        mov     R_RIP(%rsp), %rcx
        CANONICAL %rcx, leave_by_iret
        mov     R_RFLAGS(%rsp), %r11
        test    $FLAGS_NOT_BY_SYSRET, %r11d
        jnz     leave_by_iret
        mov     R_R10(%rsp), %r10
        mov     R_R9(%rsp), %r9
        mov     R_R8(%rsp), %r8
        mov     R_RAX(%rsp), %rax
        mov     R_RDX(%rsp), %rdx
        mov     R_RSI(%rsp), %rsi
        mov     R_RDI(%rsp), %rdi
        mov     R_RSP(%rsp), %rsp
        sysretq
leave_by_iret:
        add     $R_R11, %rsp
        POP_SCRATCH
        add     $8, %rsp
        jmp     guest_iret

upcall_waits:
        cmpb    $0, I_UPCALL_MASK(%rax)
        jne     nothing_waits
delivery:
        mov     %rsp, %rdi
        call    deliver_after_syscall
        mov     REGS_SIZE(%rsp), %rdx
        cmpl    $0, C_PENDING(%rdx)
        je      nothing_waits
work:   STORE_REST                      /* other registers may be loaded in their place */
        jmp     exit_to_guest
#endif
        .balign 8
syscall_vector:                         /* and no error code */
        .long   0, ENTRY_SYSCALL
        .section .note.GNU-stack, "", @progbits
