// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/hypercall/efi.hpp"

#include <algorithm>
#include <cstring>

#include "hypervisor/arch/x86/firmware.hpp"
#include "hypervisor/hypercall/hypercall.hpp"
#include "hypervisor/mm/heap.hpp"

namespace hv {

namespace {

using arch::efi_call;
using parse::EfiService;
using EfiCall = xen::XenpfEfiRuntimeCall;

constexpr uint64_t most_data = uint64_t{1} << 20;
constexpr uint64_t most_name = page_size;
constexpr uint64_t efi_buffer_too_small = uint64_t{1} << 63 | 5;  // UEFI 2.10, appendix D

uint64_t word(const void* p) { return reinterpret_cast<uint64_t>(p); }

/// Memory for the firmware to read and write, at first zeroes: what it leaves alone tells a guest nothing.
class Buffer {
    Mfn first_{};
    unsigned order_ = 0;
    bool held_ = false;

public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() {
        if (held_) heap::free(first_, order_);
    }
    /// Errors: nomem.
    Status make(uint64_t bytes) {
        while ((page_size << order_) < bytes) ++order_;
        first_ = TRY(heap::alloc(order_));
        held_ = true;
        memset(data(), 0, page_size << order_);
        return ok;
    }
    uint8_t* data() const { return map_mfn<uint8_t>(first_); }
};

/// The caller's UTF-16 name, with its end.
Status fetch_name(xen::Handle<void> from, const Buffer& to) {
    const auto name = GuestPtr<uint16_t>::of(from);
    for (uint64_t i = 0; i < most_name / 2; ++i) {
        const uint16_t unit = TRY(name.fetch(i));
        memcpy(to.data() + 2 * i, &unit, sizeof unit);
        if (unit == 0) return ok;
    }
    return Err{Errc::toobig};
}

Status get_time(EfiCall& c) {
    struct {
        uint32_t resolution, accuracy;
        uint8_t sets_to_zero;
    } clock{};
    if (c.misc != 0) return Err{Errc::inval};
    auto& t = c.u.get_time;
    t.time = {};
    c.status = efi_call(EfiService::get_time, word(&t.time), word(&clock));
    if (c.status != 0) return ok;
    t.resolution = clock.resolution;
    t.accuracy = clock.accuracy;
    c.misc = clock.sets_to_zero ? xen::XEN_EFI_GET_TIME_SET_CLEARS_NS : 0;
    return ok;
}

Status set_time(EfiCall& c) {
    if (c.misc != 0) return Err{Errc::inval};
    c.status = efi_call(EfiService::set_time, word(&c.u.set_time));
    return ok;
}

Status get_wakeup_time(EfiCall& c) {
    if (c.misc != 0) return Err{Errc::inval};
    uint8_t enabled = 0, pending = 0;
    c.u.get_wakeup_time = {};
    c.status = efi_call(EfiService::get_wakeup_time, word(&enabled), word(&pending), word(&c.u.get_wakeup_time));
    if (c.status != 0) return ok;
    c.misc = (enabled ? xen::XEN_EFI_GET_WAKEUP_TIME_ENABLED : 0) | (pending ? xen::XEN_EFI_GET_WAKEUP_TIME_PENDING : 0);
    return ok;
}

Status set_wakeup_time(EfiCall& c) {
    if (c.misc & ~(xen::XEN_EFI_SET_WAKEUP_TIME_ENABLE | xen::XEN_EFI_SET_WAKEUP_TIME_ENABLE_ONLY)) return Err{Errc::inval};
    const bool enable = c.misc & xen::XEN_EFI_SET_WAKEUP_TIME_ENABLE, only = c.misc & xen::XEN_EFI_SET_WAKEUP_TIME_ENABLE_ONLY;
    c.status = efi_call(EfiService::set_wakeup_time, enable, only ? 0 : word(&c.u.set_wakeup_time));
    return ok;
}

Status get_high_count(EfiCall& c) {
    if (c.misc != 0) return Err{Errc::inval};
    c.status = efi_call(EfiService::get_next_high_monotonic_count, word(&c.misc));
    return ok;
}

Status get_variable(EfiCall& c) {
    if (c.misc != 0) return Err{Errc::inval};
    auto& v = c.u.get_variable;
    Buffer name, data;
    TRY(name.make(most_name));
    TRY(fetch_name(v.name, name));
    // Who only asks for the size needs no memory here either.
    const uint64_t room = std::min<uint64_t>(v.size, most_data);
    if (room != 0) TRY(data.make(room));
    uint64_t size = room;
    uint32_t attributes = 0;
    c.status = efi_call(EfiService::get_variable, word(name.data()), word(&v.vendor_guid), word(&attributes), word(&size),
                        room != 0 ? word(data.data()) : 0);
    v.size = size;
    c.misc = attributes;
    if (c.status == 0 && room != 0) TRY(GuestPtr<uint8_t>::of(v.data).store_many(data.data(), std::min(size, room)));
    return ok;
}

Status set_variable(EfiCall& c) {
    auto& v = c.u.set_variable;
    if (v.size > most_data) return Err{Errc::toobig};
    Buffer name, data;
    TRY(name.make(most_name));
    TRY(fetch_name(v.name, name));
    TRY(data.make(std::max<uint64_t>(v.size, 1)));
    TRY(GuestPtr<uint8_t>::of(v.data).fetch_many(data.data(), v.size));
    c.status = efi_call(EfiService::set_variable, word(name.data()), word(&v.vendor_guid), c.misc, v.size, word(data.data()));
    return ok;
}

Status get_next_name(EfiCall& c) {
    if (c.misc != 0) return Err{Errc::inval};
    auto& n = c.u.get_next_variable_name;
    if (n.size < sizeof(uint16_t)) return Err{Errc::inval};
    Buffer name;
    TRY(name.make(most_name));
    TRY(fetch_name(n.name, name));
    const uint64_t room = std::min<uint64_t>(n.size, most_name);
    uint64_t size = room;
    c.status = efi_call(EfiService::get_next_variable_name, word(&size), word(name.data()), word(&n.vendor_guid));
    n.size = size;
    if (c.status == 0) TRY(GuestPtr<uint8_t>::of(n.name).store_many(name.data(), std::min(size, room)));
    else if (c.status == efi_buffer_too_small && size > most_name) return Err{Errc::toobig};
    return ok;
}

Status query_variables(EfiCall& c) {
    constexpr uint32_t first_revision_with_it = 2u << 16;
    if (c.misc & ~xen::XEN_EFI_VARINFO_BOOT_SNAPSHOT) return Err{Errc::inval};
    // Nobody asked the firmware before it was left.
    if (c.misc & xen::XEN_EFI_VARINFO_BOOT_SNAPSHOT || efi_firmware.services_revision < first_revision_with_it)
        return Err{Errc::opnotsupp};
    auto& q = c.u.query_variable_info;
    q.max_store_size = q.remain_store_size = q.max_size = 0;
    c.status =
        efi_call(EfiService::query_variable_info, q.attr, word(&q.max_store_size), word(&q.remain_store_size), word(&q.max_size));
    return ok;
}

Status store_vendor(auto& out) {
    const auto& name = efi_firmware.vendor;
    const auto to = GuestPtr<uint16_t>::of(out.name);
    if (out.bufsz < sizeof(uint16_t)) return Err{Errc::inval};
    const uint64_t n = std::min<uint64_t>(name.size(), out.bufsz / sizeof(uint16_t) - 1);
    out.revision = efi_firmware.firmware_revision;
    TRY(to.store_many(name.begin(), n));
    return to.store(0, n);
}

Status find_memory(auto& m) {
    const parse::EfiRegion* r = efi_firmware.region_of(m.addr);
    if (!r) return Err{Errc::srch};
    m.type = r->type;
    m.attr = r->attributes;
    m.size = std::min(m.size, r->start + r->size - m.addr);
    return ok;
}

}  // namespace

Status efi_info(uint32_t index, decltype(xen::XenpfFirmwareInfo::u.efi_info)& info) {
    if (!efi_firmware.present()) return Err{Errc::srch};
    switch (index) {
        case xen::XEN_FW_EFI_VERSION: info.version = efi_firmware.revision; return ok;
        case xen::XEN_FW_EFI_CONFIG_TABLE:
            info.cfg.addr = efi_firmware.tables;
            info.cfg.nent = efi_firmware.table_count;
            return ok;
        case xen::XEN_FW_EFI_VENDOR: return store_vendor(info.vendor);
        case xen::XEN_FW_EFI_MEM_INFO: return find_memory(info.mem);
        case xen::XEN_FW_EFI_RT_VERSION:
            if (!efi_firmware.has_services()) return Err{Errc::opnotsupp};
            info.version = efi_firmware.services_revision;
            return ok;
        case xen::XEN_FW_EFI_PCI_ROM: return Err{Errc::srch};             // the boot loader does not tell of any
        case xen::XEN_FW_EFI_APPLE_PROPERTIES: return Err{Errc::nodata};  // nor of these
        default: return Err{Errc::inval};
    }
}

Status efi_runtime_call(EfiCall& call) {
    if (!efi_firmware.has_services()) return Err{Errc::opnotsupp};
    switch (call.function) {
        case xen::XEN_EFI_get_time: return get_time(call);
        case xen::XEN_EFI_set_time: return set_time(call);
        case xen::XEN_EFI_get_wakeup_time: return get_wakeup_time(call);
        case xen::XEN_EFI_set_wakeup_time: return set_wakeup_time(call);
        case xen::XEN_EFI_get_next_high_monotonic_count: return get_high_count(call);
        case xen::XEN_EFI_get_variable: return get_variable(call);
        case xen::XEN_EFI_set_variable: return set_variable(call);
        case xen::XEN_EFI_get_next_variable_name: return get_next_name(call);
        case xen::XEN_EFI_query_variable_info: return query_variables(call);
        default: return Err{Errc::nosys};
    }
}

}  // namespace hv
