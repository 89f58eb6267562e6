// SPDX-License-Identifier: Apache-2.0
// link: x86
// A command line: whatever it says, the options stay what the hypervisor can do, and complaints name parts of it.
#include <bit>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "lib/x86/boot_options.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view line(reinterpret_cast<const char*>(data), size);
    constexpr unsigned dom0_most_vcpus = 64;
    x86::BootOptions o;
    x86::OptionComplaints complaints;
    x86::parse_boot_options(line, dom0_most_vcpus, o, complaints);
    const bool sound = o.max_cpus >= 1 && o.max_cpus <= x86::max_cpus && o.dom0_max_vcpus <= dom0_most_vcpus &&
                       std::has_single_bit(o.ring_size) && o.ring_size >= 4096 && o.ring_size <= 4 << 20 &&
                       std::memchr(o.scheduler, 0, sizeof o.scheduler) && o.own_levels.always <= 4 && o.guest_levels.limited <= 4;
    if (!sound) std::abort();
    for (const x86::OptionComplaint& c : complaints)
        if (std::less<>()(c.option.data(), line.data()) || c.option.data() + c.option.size() > line.data() + line.size())
            std::abort();
    return 0;
}
