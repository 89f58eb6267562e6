// SPDX-License-Identifier: Apache-2.0
// The text of section __xen_guest: what kernels had before there were ELF notes. Xen 4.17 still reads it.
#include "lib/parse/elf.hpp"

namespace parse {

using base::Errc;

namespace {

constexpr unsigned page_shift = 12;

unsigned digit(char c) {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
    return 16;
}

/// Decimal, hexadecimal after 0x, octal after 0, as in C.
base::Result<std::uint64_t> number(std::string_view text) {
    unsigned radix = 10;
    if (cut(text, 0, 2) == "0x" || cut(text, 0, 2) == "0X") {
        radix = 16;
        text = cut(text, 2);
    } else if (text.size() > 1 && text[0] == '0') {
        radix = 8;
        text = cut(text, 1);
    }
    if (text.empty()) return base::Err{Errc::inval};
    std::uint64_t value = 0;
    for (const char c : text) {
        if (digit(c) >= radix || value > UINT64_MAX / radix) return base::Err{Errc::inval};
        value = value * radix + digit(c);
    }
    return value;
}

base::Status take(std::string_view name, std::string_view value, XenNotes& out) {
    if (name == "LOADER") out.loader = value;
    if (name == "GUEST_OS") out.guest_os = value;
    if (name == "GUEST_VER") out.guest_version = value;
    if (name == "XEN_VER") out.xen_version = value;
    if (name == "PAE") out.pae_mode = value;
    if (name == "BSD_SYMTAB") out.bsd_symtab = true;
    if (name == "VIRT_BASE") out.virt_base = TRY(number(value));
    if (name == "VIRT_ENTRY") out.entry = TRY(number(value));
    if (name == "ELF_PADDR_OFFSET") out.paddr_offset = TRY(number(value));
    if (name == "HYPERCALL_PAGE") out.hypercall_page = (TRY(number(value)) << page_shift) + out.base_address();
    if (name == "FEATURES") {
        out.features = value;
        if (!parse_xen_features(value, out.feature_mask)) out.unknown_feature_required = true;
    }
    return base::ok;
}

/// Cuts what comes before the first `mark` off `text`.
std::string_view cut_at(std::string_view& text, char mark) {
    std::size_t n = 0;
    while (n < text.size() && text[n] != mark) ++n;
    const std::string_view first = cut(text, 0, n);
    text = cut(text, n + 1);
    return first;
}

}  // namespace

base::Result<XenNotes> parse_xen_guest_text(std::string_view text) {
    XenNotes out;
    while (!text.empty()) {
        std::string_view value = cut_at(text, ',');
        const std::string_view name = cut_at(value, '=');
        TRY(take(name, value, out));
    }
    if (!out.paddr_offset && out.virt_base) out.paddr_offset = out.virt_base;
    return out;
}

}  // namespace parse
