// SPDX-License-Identifier: Apache-2.0
// ACPI 6.4: what the single tables say. Section numbers are of that text.
#include "lib/parse/acpi.hpp"

namespace parse {

namespace {

using base::Errc;

constexpr std::uint64_t header_size = 36;

constexpr std::uint32_t fadt_timer_32bit = 1u << 8;
constexpr std::uint32_t fadt_reset_supported = 1u << 10;
constexpr std::uint32_t fadt_hardware_reduced = 1u << 20;

std::uint8_t u8(Bytes b, std::uint64_t at) { return load_unchecked<std::uint8_t>(b, at); }
std::uint16_t u16(Bytes b, std::uint64_t at) { return load_unchecked<std::uint16_t>(b, at); }
std::uint32_t u32(Bytes b, std::uint64_t at) { return load_unchecked<std::uint32_t>(b, at); }
std::uint64_t u64(Bytes b, std::uint64_t at) { return load_unchecked<std::uint64_t>(b, at); }

// Reserved values (2) read as the bus default.
AcpiPolarity polarity(std::uint16_t flags) {
    const unsigned bits = flags & 3;
    return bits == 1 ? AcpiPolarity::high : bits == 3 ? AcpiPolarity::low : AcpiPolarity::bus_default;
}
AcpiTrigger trigger(std::uint16_t flags) {
    const unsigned bits = (flags >> 2) & 3;
    return bits == 1 ? AcpiTrigger::edge : bits == 3 ? AcpiTrigger::level : AcpiTrigger::bus_default;
}

AcpiProcessor processor(std::uint32_t id, std::uint32_t uid, std::uint32_t flags, bool x2apic) {
    return {id, uid, (flags & 1) != 0, (flags & 2) != 0, x2apic};
}

/// 5.2.12: the entry kinds we read, and the shortest length each may have.
enum EntryKind : std::uint8_t {
    local_apic = 0,
    io_apic = 1,
    source_override = 2,
    nmi_source = 3,
    local_apic_nmi = 4,
    local_apic_address = 5,
    local_x2apic = 9,
    local_x2apic_nmi = 10,
};

constexpr std::uint8_t shortest[] = {8, 12, 10, 8, 6, 12, 2, 2, 2, 16, 12};

/// A processor entry with this id stands for no processor.
constexpr std::uint32_t no_apic = 0xff;

bool add_entry(std::uint8_t kind, Bytes e, AcpiMadt& out) {
    switch (kind) {
        case local_apic:
            if (u8(e, 3) == no_apic) return true;
            return out.processors.push(processor(u8(e, 3), u8(e, 2), u32(e, 4), false));
        case local_x2apic: return out.processors.push(processor(u32(e, 4), u32(e, 12), u32(e, 8), true));
        case io_apic: return out.io_apics.push({u8(e, 2), u32(e, 4), u32(e, 8)});
        case source_override: return out.overrides.push({u8(e, 3), u32(e, 4), polarity(u16(e, 8)), trigger(u16(e, 8))});
        case nmi_source: return out.nmi_sources.push({u32(e, 4), polarity(u16(e, 2)), trigger(u16(e, 2))});
        case local_apic_nmi: {
            const std::uint32_t uid = u8(e, 2) == 0xff ? UINT32_MAX : u8(e, 2);
            return out.local_nmis.push({uid, u8(e, 5), polarity(u16(e, 3)), trigger(u16(e, 3))});
        }
        case local_x2apic_nmi: return out.local_nmis.push({u32(e, 4), u8(e, 8), polarity(u16(e, 2)), trigger(u16(e, 2))});
        case local_apic_address: out.local_apic = u64(e, 4); return true;
        default: return true;
    }
}

AcpiAddress generic_address(Bytes table, std::uint64_t at) {
    return {u8(table, at), u8(table, at + 1), u8(table, at + 2), u8(table, at + 3), u64(table, at + 4)};
}

/// The extended field when the table has it and it is set, else the old I/O port.
AcpiAddress fadt_register(Bytes table, std::uint64_t extended_at, std::uint64_t port_at, std::uint8_t length) {
    if (inside(table, extended_at, 12)) {
        const AcpiAddress address = generic_address(table, extended_at);
        if (address.present()) return address;
    }
    return {AcpiAddress::io, static_cast<std::uint8_t>(length * 8), 0, 0, u32(table, port_at)};
}

std::uint64_t fadt_pointer(Bytes table, std::uint64_t extended_at, std::uint64_t old_at) {
    if (inside(table, extended_at, 8) && u64(table, extended_at) != 0) return u64(table, extended_at);
    return u32(table, old_at);
}

// ---- AML (20.2), as far as a constant package goes

constexpr std::uint8_t aml_name = 0x08;
constexpr std::uint8_t aml_byte = 0x0A;
constexpr std::uint8_t aml_word = 0x0B;
constexpr std::uint8_t aml_dword = 0x0C;
constexpr std::uint8_t aml_package = 0x12;

/// An integer constant at `at`, which moves behind it. Errors: badmsg anything else.
base::Result<std::uint8_t> aml_integer(Bytes aml, std::uint64_t& at) {
    const std::uint8_t op = TRY(load<std::uint8_t>(aml, at));
    ++at;
    std::uint64_t size = 0;
    switch (op) {
        case 0:
        case 1: return op;
        case aml_byte: size = 1; break;
        case aml_word: size = 2; break;
        case aml_dword: size = 4; break;
        default: return base::Err{Errc::badmsg};
    }
    if (!inside(aml, at, size)) return base::Err{Errc::badmsg};
    const std::uint8_t low = u8(aml, at);
    at += size;
    return low;
}

/// The package behind the name that ends at `at`.
base::Result<AcpiSleepType> sleep_package(Bytes aml, std::uint64_t at) {
    if (TRY(load<std::uint8_t>(aml, at)) != aml_package) return base::Err{Errc::badmsg};
    const std::uint8_t lead = TRY(load<std::uint8_t>(aml, at + 1));
    at += 2 + (lead >> 6);  // the length field has up to three more bytes
    const std::uint8_t elements = TRY(load<std::uint8_t>(aml, at));
    ++at;
    if (elements == 0) return base::Err{Errc::badmsg};
    AcpiSleepType type{};
    type.a = TRY(aml_integer(aml, at));
    if (elements > 1) type.b = TRY(aml_integer(aml, at));
    return type;
}

}  // namespace

AcpiOverride AcpiMadt::isa(std::uint8_t irq) const {
    for (const AcpiOverride& o : overrides)
        if (o.irq == irq) return o;
    return {irq, irq, AcpiPolarity::bus_default, AcpiTrigger::bus_default};
}

base::Status read_madt(Bytes table, AcpiMadt& out) {
    if (!inside(table, header_size, 8)) return base::Err{Errc::badmsg};
    out.local_apic = u32(table, header_size);
    out.has_8259 = (u32(table, header_size + 4) & 1) != 0;
    for (std::uint64_t at = header_size + 8; inside(table, at, 2);) {
        const std::uint8_t kind = u8(table, at);
        const std::uint8_t length = u8(table, at + 1);
        const std::uint8_t least = kind < sizeof shortest ? shortest[kind] : std::uint8_t{2};
        if (length < least || !inside(table, at, length)) return base::Err{Errc::badmsg};
        if (!add_entry(kind, table.subspan(at, length), out)) return base::Err{Errc::nospc};
        at += length;
    }
    return base::ok;
}

base::Result<AcpiHpet> read_hpet(Bytes table) {
    if (!inside(table, 0, 56)) return base::Err{Errc::badmsg};
    return AcpiHpet{generic_address(table, 40), u32(table, 36), u8(table, 52), u16(table, 53)};
}

base::Result<AcpiFadt> read_fadt(Bytes table) {
    if (!inside(table, 0, 116)) return base::Err{Errc::badmsg};
    AcpiFadt out;
    out.revision = u8(table, 8);
    out.facs = fadt_pointer(table, 132, 36);
    out.dsdt = fadt_pointer(table, 140, 40);
    out.sci_interrupt = u16(table, 46);
    out.smi_command = u32(table, 48);
    out.acpi_enable = u8(table, 52);
    out.acpi_disable = u8(table, 53);
    out.pm1a_event = fadt_register(table, 148, 56, u8(table, 88));
    out.pm1b_event = fadt_register(table, 160, 60, u8(table, 88));
    out.pm1a_control = fadt_register(table, 172, 64, u8(table, 89));
    out.pm1b_control = fadt_register(table, 184, 68, u8(table, 89));
    out.pm_timer = fadt_register(table, 208, 76, u8(table, 91));
    out.boot_flags = u16(table, 109);
    out.flags = u32(table, 112);
    out.pm_timer_32bit = (out.flags & fadt_timer_32bit) != 0;
    out.hardware_reduced = (out.flags & fadt_hardware_reduced) != 0;
    if ((out.flags & fadt_reset_supported) != 0 && inside(table, 116, 13)) {
        out.reset = generic_address(table, 116);
        out.reset_value = u8(table, 128);
    }
    return out;
}

base::Status read_mcfg(Bytes table, FixedList<AcpiMcfgWindow, 16>& out) {
    constexpr std::uint64_t entry_size = 16;
    if (!inside(table, 0, header_size + 8)) return base::Err{Errc::badmsg};
    for (std::uint64_t at = header_size + 8; inside(table, at, entry_size); at += entry_size) {
        const AcpiMcfgWindow window{u64(table, at), u16(table, at + 8), u8(table, at + 10), u8(table, at + 11)};
        if (window.last_bus < window.first_bus) return base::Err{Errc::badmsg};
        if (!out.push(window)) return base::Err{Errc::nospc};
    }
    return base::ok;
}

base::Result<AcpiSleepType> find_sleep_type(Bytes table, unsigned state) {
    const char name[4] = {'_', 'S', static_cast<char>('0' + state % 10), '_'};
    for (std::uint64_t at = header_size + 1; inside(table, at, sizeof name); ++at) {
        if (__builtin_memcmp(table.data() + at, name, sizeof name) != 0) continue;
        const bool rooted = u8(table, at - 1) == '\\' && u8(table, at - 2) == aml_name;
        if (!rooted && u8(table, at - 1) != aml_name) continue;
        if (auto type = sleep_package(table, at + sizeof name)) return type.value();
    }
    return base::Err{Errc::noent};
}

}  // namespace parse
