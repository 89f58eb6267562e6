// SPDX-License-Identifier: Apache-2.0
/// console_io: dom0's console is the machine's; other guests' lines go to the log with their name in front.
#include "abi/xen/basic.hpp"
#include "hypervisor/dev/console_input.hpp"
#include "hypervisor/domain/run.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/rt/log_ring.hpp"

namespace hv {
namespace {

constexpr size_t chunk = 128;

Result<uint64_t> write(Vcpu& v, uint64_t count, uint64_t address) {
    char buffer[chunk];
    while (count != 0) {
        const size_t n = count < chunk ? count : chunk;
        TRY(GuestPtr<char>(address).fetch_many(buffer, n));
        if (!v.domain.privileged) {
            domain_console_add(v.domain, buffer, n);
        } else if (!console_write(buffer, n)) {
            // The line is slower than dom0, whose text must be complete: it tries again, and others run meanwhile.
            vcpu_yield_current();
            return restart_with(v, uint64_t{xen::CONSOLEIO_write}, count, address);
        }
        count -= n;
        address += n;
        if (count != 0 && arch::preempt_wanted()) return restart_with(v, uint64_t{xen::CONSOLEIO_write}, count, address);
    }
    return uint64_t{0};
}

Result<uint64_t> read(uint64_t count, uint64_t address) {
    const auto text = GuestPtr<char>::from_reg(address);
    char buffer[chunk];
    const size_t n = console_read(buffer, count < chunk ? count : chunk);
    if (n) TRY(text.store_many(buffer, n));
    return uint64_t{n};
}

}  // namespace

Result<uint64_t> hypercall_console_io(Vcpu& v, const uint64_t (&args)[6]) {
    switch (args[0]) {
        case xen::CONSOLEIO_write:
            // CONSOLEIO_write counts in an int.
            return write(v, static_cast<uint32_t>(args[1]), args[2]);
        case xen::CONSOLEIO_read:
            if (!v.domain.privileged) return Err{Errc::perm};
            return read(static_cast<uint32_t>(args[1]), args[2]);
        default: return Err{Errc::nosys};
    }
}

}  // namespace hv
