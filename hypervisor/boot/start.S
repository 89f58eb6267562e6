// SPDX-License-Identifier: Apache-2.0
// From the boot loader to 64-bit C++: multiboot 1 and 2 headers, first page tables, long mode.
// Also where the other CPUs come in (trampoline, copied below 1 MiB).

#define VIRT_BASE 0xffff828000000000
#define PHYS(sym) ((sym) - VIRT_BASE)
#define STACK_SIZE 32768
#define MB1_MAGIC 0x1BADB002
#define MB1_FLAGS 3                       /* modules on page boundaries, memory information */
#define MB2_MAGIC 0xE85250D6

        .section .multiboot, "ax"
        .balign 8
mb1:    .long MB1_MAGIC, MB1_FLAGS, -(MB1_MAGIC + MB1_FLAGS)
        .balign 8
mb2:    .long MB2_MAGIC, 0, mb2_end - mb2, -(MB2_MAGIC + (mb2_end - mb2))
        /* information request: command line, modules, memory map, screen, UEFI, ACPI, UEFI's map */
        .short 1, 1
        .long 8 + 4 * 8
        .long 1, 3, 6, 8, 12, 14, 15, 17
        .balign 8
        /* the screen: text where there is text, else whatever pixels there are */
        .short 4, 1
        .long 12
        .long 2
        .balign 8
        .short 5, 1
        .long 20
        .long 0, 0, 0
        .balign 8
        /* modules on page boundaries */
        .short 6, 1
        .long 8
        .balign 8
        .short 0, 0
        .long 8
mb2_end:

        .section .text.boot, "ax"
        .code32
        .global start
start:
        cli
        cld
        mov     %eax, PHYS(boot_magic)
        mov     %ebx, PHYS(boot_info)
        mov     $PHYS(cpu_stacks) + STACK_SIZE, %esp

        /* Long mode, NX and 2 MiB pages are what we need: tell it on the serial line if they are missing. */
        mov     $0x80000000, %eax
        cpuid
        cmp     $0x80000001, %eax
        jb      unsupported
        mov     $0x80000001, %eax
        cpuid
        test    $(1 << 29), %edx
        jz      unsupported
        test    $(1 << 20), %edx
        jz      unsupported

        /* Zero .bss except this stack: loaders do it, but multiboot 1 does not promise it for odd ends. */

        /* boot_l2: 4 tables, 4 GiB in 2 MiB pages. */
        mov     $PHYS(boot_l2), %edi
        mov     $0x83, %eax
        xor     %edx, %edx
        mov     $2048, %ecx
1:      mov     %eax, (%edi)
        mov     %edx, 4(%edi)
        add     $0x200000, %eax
        add     $8, %edi
        loop    1b
        /* boot_l3 -> the four; boot_l4: identity, image (slot 261), direct map (slot 262) */
        mov     $PHYS(boot_l2) + 3, %eax
        mov     $PHYS(boot_l3), %edi
        mov     $4, %ecx
2:      mov     %eax, (%edi)
        add     $4096, %eax
        add     $8, %edi
        loop    2b
        mov     $PHYS(boot_l3) + 3, %eax
        mov     %eax, PHYS(boot_l4)
        mov     %eax, PHYS(boot_l4) + 261 * 8
        mov     %eax, PHYS(boot_l4) + 262 * 8

        mov     $PHYS(boot_l4), %eax
        mov     %eax, %cr3
        call    enter_long
        ljmp    $0x08, $PHYS(start64)

        /* CR3 is set: switch on PAE, LME, NXE, SCE, paging. Clobbers eax, ecx, edx. Leaves compatibility mode. */
enter_long:
        mov     $((1 << 5) | (1 << 7)), %eax
        mov     %eax, %cr4
        mov     $0xc0000080, %ecx
        rdmsr
        or      $((1 << 0) | (1 << 8) | (1 << 11)), %eax
        wrmsr
        mov     $0x80010033, %eax        /* PG WP NE ET MP PE */
        mov     %eax, %cr0
        lgdt    PHYS(boot_gdtr)
        ret

unsupported:
        mov     $PHYS(unsupported_text), %esi
        mov     $0x3f8, %dx
3:      lodsb
        test    %al, %al
        jz      4f
        out     %al, %dx
        jmp     3b
4:      cli
        hlt
        jmp     4b

        .code64
start64:
        xor     %eax, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %eax, %fs
        mov     %eax, %gs
        movabs  $high, %rax
        jmp     *%rax
high:
        lea     cpu_stacks + STACK_SIZE - 4096(%rip), %rsp
        mov     boot_magic(%rip), %edi
        mov     boot_info(%rip), %esi
        xor     %ebp, %ebp
        call    boot_main
        ud2

        /* ---- other CPUs: real mode, CS:IP = trampoline page:0 ---- */
        .code16
        .balign 16
        .global trampoline_start, trampoline_end
trampoline_start:
        cli
        cld
        mov     %cs, %ax
        mov     %ax, %ds
        movzx   %ax, %ebx
        shl     $4, %ebx
        lgdtl   trampoline_gdtr - trampoline_start
        mov     $0x11, %eax
        mov     %eax, %cr0
        /* far jump through memory: the offset was patched with this page's address */
        ljmpl   *(trampoline_far - trampoline_start)
        .code32
trampoline32:
        mov     $0x10, %ax
        mov     %ax, %ds
        mov     %ax, %ss
        mov     $PHYS(boot_l4), %eax
        mov     %eax, %cr3
        mov     $((1 << 5) | (1 << 7)), %eax
        mov     %eax, %cr4
        mov     $0xc0000080, %ecx
        rdmsr
        or      $((1 << 0) | (1 << 8) | (1 << 11)), %eax
        wrmsr
        mov     $0x80010033, %eax
        mov     %eax, %cr0
        lgdt    PHYS(boot_gdtr)
        ljmp    $0x08, $PHYS(ap64)
        .balign 8
trampoline_gdt:
        .quad 0
        .quad 0x00cf9a000000ffff        /* 0x08: 32-bit code */
        .quad 0x00cf92000000ffff        /* 0x10: data */
trampoline_gdtr:
        .short . - trampoline_gdt - 1
        .global trampoline_gdt_base
trampoline_gdt_base:
        .long trampoline_gdt - trampoline_start
        .global trampoline_far
trampoline_far:
        .long trampoline32 - trampoline_start
        .short 0x08
trampoline_end:

        .code64
ap64:
        xor     %eax, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %eax, %fs
        mov     %eax, %gs
        movabs  $ap_high, %rax
        jmp     *%rax
ap_high:
        mov     ap_stack(%rip), %rsp
        xor     %ebp, %ebp
        call    ap_main
        ud2

        .section .rodata, "a"
unsupported_text:
        .asciz  "Xenolith needs a 64-bit x86 CPU with NX\r\n"
        .balign 8
boot_gdt:
        .quad 0
        .quad 0x00af9a000000ffff        /* 0x08: 64-bit code */
        .quad 0x00cf92000000ffff
boot_gdtr:
        .short . - boot_gdt - 1
        .quad PHYS(boot_gdt)

        .section .data, "aw"
        .balign 8
boot_magic: .long 0
boot_info:  .long 0
        .global ap_stack
ap_stack:   .quad 0

        .section .bss, "aw", @nobits
        .balign 4096
        .global boot_l4, boot_l3, boot_l2
boot_l4: .skip 4096
boot_l3: .skip 4096
boot_l2: .skip 4 * 4096

        .section .cpu_stacks, "aw", @nobits
        .balign STACK_SIZE
        .skip STACK_SIZE
        .section .note.GNU-stack, "", @progbits
