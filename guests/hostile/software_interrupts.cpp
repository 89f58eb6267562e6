// SPDX-License-Identifier: Apache-2.0
/// INT with every vector, from kernel and user mode, with gates that exist and gates that do not.
#include "guests/hostile/hostile.hpp"
#include "guests/tiny/user.hpp"

namespace {

using namespace hostile;
using namespace xen;

/// INT n and a way back, for each n.
struct Code {
    unsigned char bytes[4];
};
alignas(4096) Code code[1024];

void write_code() {
    for (unsigned n = 0; n < 256; ++n) code[n] = {{0xcd, static_cast<unsigned char>(n), 0x0f, 0x05}};  // int n; syscall
}

/// Only #GP and #PF have handlers.
void register_two() {
    TrapInfo all[256], list[3] = {};
    fill_trap_table(all);
    list[0] = all[13];
    list[1] = all[14];
    hypercall(HYPERVISOR_set_trap_table, 0);
    hypercall(HYPERVISOR_set_trap_table, addr(list));
}

bool general_protection(const Trap& t, unsigned n) { return t == 13 && t.error == (n << 3 | 2); }

}  // namespace

int guest_main() {
    write_code();
    expect("user tables", make_user_tables());
    for (unsigned n = 0; n < 256; ++n) {
        const Trap t = run_user(addr(&code[n]), 0, addr(&code[1024]));
        const bool gate = n == 3 || n == 4 || n == 0x80;
        if (gate ? !(t == n) : !general_protection(t, n)) {
            ++failures;
            print("guest: FAILED: user INT ", n, ": vector ", t.vector, " error ", Hex{t.error}, "\n");
        }
    }
    static TrapInfo kept[256];
    fill_trap_table(kept);
    register_two();
    // 3 and 4 are left out: the hypervisor's own gates take those, and without a handler that ends the domain.
    for (unsigned n = 0; n < 256; ++n) {
        if (n == 3 || n == 4 || n == 13 || n == 14) continue;
        const Trap user = run_user(addr(&code[n]), 0, addr(&code[1024]));
        if (!general_protection(user, n)) {
            ++failures;
            print("guest: FAILED: user INT ", n, " without a gate: vector ", user.vector, " error ", Hex{user.error}, "\n");
        }
        const Trap kernel = caught([&] { reinterpret_cast<void (*)()> (&code[n])(); });
        if (!general_protection(kernel, n)) {
            ++failures;
            print("guest: FAILED: kernel INT ", n, " without a gate: vector ", kernel.vector, " error ", Hex{kernel.error}, "\n");
        }
    }
    install_traps();
    return failures;
}
