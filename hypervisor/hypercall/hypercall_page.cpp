// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/hypercall/hypercall_page.hpp"

#include <cstring>

#include "abi/xen/basic.hpp"
#include "lib/base/types.hpp"

namespace hv {

namespace {

constexpr size_t entry_bytes = 32;
constexpr uint8_t int3 = 0xcc;

struct Assembler {
    uint8_t* at;
    template <size_t N>
    void put(const uint8_t (&code)[N]) {
        memcpy(at, code, N);
        at += N;
    }
    void mov_eax(uint32_t n) {
        *at++ = 0xb8;
        memcpy(at, &n, sizeof n);
        at += sizeof n;
    }
};

// SYSCALL overwrites rcx and r11, which a hypercall keeps.
constexpr uint8_t push_rcx_r11[] = {0x51, 0x41, 0x53};
constexpr uint8_t pop_r11_rcx_ret[] = {0x41, 0x5b, 0x59, 0xc3};
constexpr uint8_t push_rax[] = {0x50};
constexpr uint8_t syscall_instruction[] = {0x0f, 0x05};

void fill_entry(uint8_t* at, uint32_t n) {
    Assembler a{at};
    a.put(push_rcx_r11);
    // IRET takes rax, r11 and rcx from the stack and does not come back.
    if (n == xen::HYPERVISOR_iret) a.put(push_rax);
    a.mov_eax(n);
    a.put(syscall_instruction);
    if (n != xen::HYPERVISOR_iret) a.put(pop_r11_rcx_ret);
}

}  // namespace

void fill_hypercall_page(uint8_t* page) {
    memset(page, int3, base::page_size);
    for (uint32_t n = 0; n < base::page_size / entry_bytes; ++n) fill_entry(page + n * entry_bytes, n);
}

}  // namespace hv
