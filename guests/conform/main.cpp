// SPDX-License-Identifier: Apache-2.0
/// Words of the command line: `checks` runs the checks, with `kinder` also those of what we promise and Xen 4.17 ends the
/// domain for; `cpuid` and `msrs` print what is there to be compared.
#include "guests/conform/conform.hpp"
#include "guests/tiny/console.hpp"
#include "guests/tiny/user.hpp"

namespace conform {

using namespace guest;

namespace {
int failures;
}

void check(const char* name, bool right) {
    if (!right) ++failures;
    print(right ? "ok " : "not ok ", name, "\n");
}

void equal(const char* name, uint64_t expected, uint64_t got) {
    check(name, expected == got);
    if (expected != got) print("# expected ", Hex{expected}, ", got ", Hex{got}, "\n");
}

}  // namespace conform

int guest_main() {
    using namespace conform;
    if (guest::has_word("cpuid")) dump_cpuid();
    if (guest::has_word("msrs")) dump_msrs();
    if (guest::has_word("checks")) {
        check("user page tables", guest::make_user_tables());
        entry_checks();
        privilege_checks();
    }
    guest::print("conform: done\n");
    return failures;
}
