// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/hypercall_page.hpp"

#include <cstdint>
#include <cstring>

#include "abi/xen/basic.hpp"

namespace hv {
namespace {

constexpr unsigned stub_bytes = 32, stubs = 4096 / stub_bytes;
constexpr uint8_t mov_eax = 0xb8, ret = 0xc3, int3 = 0xcc;
constexpr uint8_t push_r11[] = {0x41, 0x53}, pop_r11[] = {0x41, 0x5b};
constexpr uint8_t push_rcx = 0x51, pop_rcx = 0x59, push_rax = 0x50;
constexpr uint8_t syscall_instruction[] = {0x0f, 0x05};

struct Writer {
    uint8_t* at;
    void byte(uint8_t b) { *at++ = b; }
    template <unsigned N>
    void bytes(const uint8_t (&b)[N]) {
        memcpy(at, b, N);
        at += N;
    }
    void number(uint32_t n) {
        memcpy(at, &n, 4);
        at += 4;
    }
};

}  // namespace

void fill_hypercall_page(void* page) {
    memset(page, int3, 4096);
    for (uint32_t nr = 0; nr < stubs; ++nr) {
        Writer w{static_cast<uint8_t*>(page) + nr * stub_bytes};
        // SYSCALL destroys rcx and r11. IRET finds them, and rax, on the guest's stack, as its frame has them.
        const bool iret = nr == xen::HYPERVISOR_iret;
        if (iret) {
            w.byte(push_rcx);
            w.bytes(push_r11);
            w.byte(push_rax);
        } else {
            w.byte(push_rcx);
            w.bytes(push_r11);
        }
        w.byte(mov_eax);
        w.number(nr);
        w.bytes(syscall_instruction);
        if (iret) continue;
        w.bytes(pop_r11);
        w.byte(pop_rcx);
        w.byte(ret);
    }
}

}  // namespace hv
