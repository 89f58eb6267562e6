// SPDX-License-Identifier: Apache-2.0
#include "guests/tiny/user.hpp"

#include "guests/tiny/paging.hpp"

extern "C" {
[[noreturn]] void user_entry(const xen::IretContext* context, uint64_t argument);  // trap_entry.S
void user_done();
}

// A function that returns in user mode comes here.
asm(".section .text.user_done, \"ax\", @progbits\nuser_done: syscall\n.text");

namespace guest {

using namespace xen;

namespace {

constexpr unsigned first_hypervisor_slot = 256, end_hypervisor_slot = 272;
Page user_root;
Page user_stack[2];

}  // namespace

bool make_user_tables() {
    const auto* kernel = at<const uint64_t>(info->pt_base);
    auto* user = reinterpret_cast<uint64_t*>(&user_root);
    for (unsigned i = 0; i < 512; ++i) user[i] = i >= first_hypervisor_slot && i < end_hypervisor_slot ? 0 : kernel[i];
    if (protect(user, read_only) != 0) return false;
    if (mmuext(MMUEXT_PIN_L4_TABLE, mfn_of(user)) != 0) return false;
    return mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(user)) == 0;
}

Trap run_user(uint64_t rip, uint64_t argument, uint64_t stack_top, uint64_t rflags) {
    return caught([&] {
        IretContext context{0, 0, 0, 0, rip, FLAT_USER_CS, rflags, stack_top, FLAT_USER_SS};
        // What brings us back pushes its frame below everything that is in use here.
        hypercall(HYPERVISOR_stack_switch, FLAT_KERNEL_SS, (addr(&context) & ~uint64_t{15}) - 512);
        user_entry(&context, argument);
    });
}

Trap run_user(void (*fn)(uint64_t), uint64_t argument) {
    auto* top = reinterpret_cast<uint64_t*>(user_stack + 2) - 1;
    *top = addr(user_done);
    return run_user(addr(fn), argument, addr(top));
}

}  // namespace guest
