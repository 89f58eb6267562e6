// SPDX-License-Identifier: Apache-2.0
/// console_io: dom0's console is the machine's; other guests' output goes to the log with their name in front.
#include "abi/xen/basic.hpp"
#include "hypervisor/dev/console_input.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/rt/log_ring.hpp"

namespace hv {
namespace {

constexpr size_t chunk = 128;

bool printable(char c) { return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t'; }

Status write_guest_line(Vcpu& v, const char* text, size_t n) {
    char line[chunk + 1];
    size_t used = 0;
    for (size_t i = 0; i < n; ++i)
        if (printable(text[i]) && text[i] != '\n') line[used++] = text[i];
    line[used] = 0;
    if (used) guest_log(LogLevel::warning, "(d%u) %s", v.domain.id.raw, line);
    return ok;
}

Result<uint64_t> write(Vcpu& v, uint64_t count, uint64_t address) {
    const auto text = GuestPtr<char>::from_reg(address);
    char buffer[chunk];
    for (uint64_t done = 0; done < count;) {
        if (done != 0 && arch::preempt_wanted())
            return restart_with(v, uint64_t{xen::CONSOLEIO_write}, count - done, address + done);
        const size_t n = count - done < chunk ? count - done : chunk;
        TRY((text + done).fetch_many(buffer, n));
        if (v.domain.privileged) console_write(buffer, n);
        else TRY(write_guest_line(v, buffer, n));
        done += n;
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
