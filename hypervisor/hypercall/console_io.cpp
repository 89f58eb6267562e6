// SPDX-License-Identifier: Apache-2.0
/// console_io: dom0's console is the machine's; other guests' lines go to the log with their name in front.
#include "abi/xen/basic.hpp"
#include "hypervisor/dev/console_input.hpp"
#include "hypervisor/domain/run.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/rt/log_ring.hpp"

namespace hv {
namespace {

constexpr size_t chunk = 128;

Answer write(Vcpu& v, uint32_t bytes, GuestPtr<char> text) {
    char buffer[chunk];
    for (uint64_t count = bytes; count != 0;) {
        const size_t n = count < chunk ? count : chunk;
        TRY(text.fetch_many(buffer, n));
        if (!authorised(v.domain, Who::control)) {
            domain_console_add(v.domain, buffer, n);
        } else if (!console_write(buffer, n)) {
            // The line is slower than dom0, whose text must be complete: it tries again, and others run meanwhile.
            vcpu_yield_current();
            return restart_with(v, xen::CONSOLEIO_write, count, text);
        }
        count -= n;
        text = text + n;
        if (count != 0 && arch::preempt_wanted()) return restart_with(v, xen::CONSOLEIO_write, count, text);
    }
    return 0;
}

Answer read(Vcpu&, uint32_t count, GuestPtr<char> text) {
    char buffer[chunk];
    const size_t n = console_read(buffer, count < chunk ? count : chunk);
    if (n) TRY(text.store_many(buffer, n));
    return uint64_t{n};
}

// clang-format off
using Frequent = FrequentOperations<
    Op<xen::CONSOLEIO_write, write, Who::anyone, Runs::in_parts>>;

using Others = Operations<
    Op<xen::CONSOLEIO_read, read, Who::control>>;
// clang-format on

[[gnu::noinline]] Answer others(Vcpu& v, uint64_t cmd, uint32_t count, GuestPtr<char> text) {
    return Others::run("console_io", cmd, v, count, text);
}

}  // namespace

Answer hypercall_console_io(Vcpu& v, uint64_t cmd, uint32_t count, GuestPtr<char> text) {
    if (Frequent::has(cmd)) return Frequent::run("console_io", cmd, v, count, text);
    return others(v, cmd, count, text);
}

}  // namespace hv
