// SPDX-License-Identifier: Apache-2.0
// Makes small ELF kernels with Xen notes, and bzImages around them, for tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "abi/xen/elfnote.hpp"

namespace testing_tools {

using Bytes = std::vector<std::byte>;

struct KernelShape {
    uint64_t virt_base = 0xffff'ffff'8000'0000;
    uint64_t load_at = 0x100'0000;  // physical, of the first segment
    uint64_t text_size = 0x3000;
    uint64_t data_size = 0x1800;  // in the file
    uint64_t bss_size = 0x5000;   // behind the data
    uint64_t gap = 0x2000;        // between text and data
    std::optional<uint64_t> init_p2m = 0x80'0000'0000;
    bool mod_start_pfn = true;
    bool notes = true;
    bool xen_entry = true;  // false: no ENTRY, VIRT_BASE and PADDR_OFFSET notes
    bool pvh_entry = false;
    std::string loader = "generic";
    std::string os = "test";
    uint64_t entry_offset = 0x40;
    std::optional<uint64_t> hypercall_offset = 0x1000;
    uint16_t machine = 62;
    std::string xen_version = "xen-3.0";
};

class ImageWriter {
public:
    template <class T>
    void put(size_t at, T value) {
        if (out.size() < at + sizeof value) out.resize(at + sizeof value);
        std::memcpy(out.data() + at, &value, sizeof value);
    }
    void note(uint32_t type, const void* data, uint32_t size) {
        const size_t at = out.size();
        put<uint32_t>(at, 4);
        put<uint32_t>(at + 4, size);
        put<uint32_t>(at + 8, type);
        put<uint32_t>(at + 12, 0x006e6558);  // "Xen"
        out.resize(at + 16 + (size + 3) / 4 * 4);
        std::memcpy(out.data() + at + 16, data, size);
    }
    void number(uint32_t type, uint64_t value) { note(type, &value, sizeof value); }
    void text(uint32_t type, const std::string& value) { note(type, value.c_str(), static_cast<uint32_t>(value.size() + 1)); }
    Bytes out;
};

/// The byte that stands at `offset` of the text or data segment.
inline std::byte pattern(uint64_t offset) { return static_cast<std::byte>((offset * 31 + (offset >> 8)) & 0xff); }

inline Bytes make_kernel(const KernelShape& k = {}) {
    ImageWriter w;
    const size_t headers = 64, count = k.notes ? 3 : 2;
    w.out.resize(headers + count * 56);
    if (k.notes) {
        const size_t at = w.out.size();
        if (k.xen_entry) {
            w.number(xen::XEN_ELFNOTE_ENTRY, k.virt_base + k.load_at + k.entry_offset);
            w.number(xen::XEN_ELFNOTE_VIRT_BASE, k.virt_base);
            w.number(xen::XEN_ELFNOTE_PADDR_OFFSET, 0);
        }
        if (k.pvh_entry) w.number(xen::XEN_ELFNOTE_PHYS32_ENTRY, k.load_at);
        if (k.hypercall_offset) w.number(xen::XEN_ELFNOTE_HYPERCALL_PAGE, k.virt_base + k.load_at + *k.hypercall_offset);
        if (k.init_p2m) w.number(xen::XEN_ELFNOTE_INIT_P2M, *k.init_p2m);
        if (k.mod_start_pfn) w.number(xen::XEN_ELFNOTE_MOD_START_PFN, 1);
        w.text(xen::XEN_ELFNOTE_XEN_VERSION, k.xen_version);
        w.text(xen::XEN_ELFNOTE_GUEST_OS, k.os);
        w.text(xen::XEN_ELFNOTE_LOADER, k.loader);
        const size_t header = headers + 2 * 56;
        w.put<uint32_t>(header, 4);
        w.put<uint64_t>(header + 8, at);
        w.put<uint64_t>(header + 32, w.out.size() - at);
        w.put<uint64_t>(header + 40, w.out.size() - at);
    }
    const auto segment = [&](size_t index, uint64_t physical, uint64_t file_size, uint64_t memory_size) {
        const size_t offset = (w.out.size() + 4095) / 4096 * 4096, header = headers + index * 56;
        w.put<uint32_t>(header, 1);
        w.put<uint32_t>(header + 4, 7);
        w.put<uint64_t>(header + 8, offset);
        w.put<uint64_t>(header + 16, k.virt_base + physical);
        w.put<uint64_t>(header + 24, physical);
        w.put<uint64_t>(header + 32, file_size);
        w.put<uint64_t>(header + 40, memory_size);
        w.put<uint64_t>(header + 48, 4096);
        w.out.resize(offset + file_size);
        for (uint64_t i = 0; i < file_size; ++i) w.out[offset + i] = pattern(i);
    };
    segment(0, k.load_at, k.text_size, k.text_size);
    segment(1, k.load_at + k.text_size + k.gap, k.data_size, k.data_size + k.bss_size);
    const unsigned char ident[16] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    std::memcpy(w.out.data(), ident, sizeof ident);
    w.put<uint16_t>(16, 2);
    w.put<uint16_t>(18, k.machine);
    w.put<uint32_t>(20, 1);
    w.put<uint64_t>(24, k.virt_base + k.load_at);
    w.put<uint64_t>(32, headers);
    w.put<uint16_t>(52, 64);
    w.put<uint16_t>(54, 56);
    w.put<uint16_t>(56, static_cast<uint16_t>(count));
    w.put<uint16_t>(58, 64);
    return std::move(w.out);
}

/// A bzImage with this payload: one setup sector, protocol 2.15.
inline Bytes make_bzimage(const Bytes& payload) {
    ImageWriter w;
    w.out.resize(1024 + 64);
    w.put<uint8_t>(0x1f1, 1);
    w.put<uint16_t>(0x1fe, 0xaa55);
    w.put<uint8_t>(0x200, 0xeb);
    w.put<uint8_t>(0x201, 0x66);
    w.put<uint32_t>(0x202, 0x53726448);
    w.put<uint16_t>(0x206, 0x20f);
    w.put<uint8_t>(0x211, 1);
    w.put<uint16_t>(0x236, 3);
    w.put<uint32_t>(0x248, 64);
    w.put<uint32_t>(0x24c, static_cast<uint32_t>(payload.size()));
    w.out.insert(w.out.end(), payload.begin(), payload.end());
    w.put<uint32_t>(0x1f4, static_cast<uint32_t>((w.out.size() - 1024 + 15) / 16));
    return std::move(w.out);
}

}  // namespace testing_tools
