// SPDX-License-Identifier: Apache-2.0
// The text of section __xen_guest: what kernels had before there were ELF notes. Xen 4.17 still reads it.
#include "lib/parse/cmdline.hpp"
#include "lib/parse/elf.hpp"

namespace parse {

namespace {

constexpr unsigned page_shift = 12;

base::Status take(std::string_view name, std::string_view value, XenNotes& out) {
    if (name == "LOADER") out.loader = value;
    if (name == "GUEST_OS") out.guest_os = value;
    if (name == "GUEST_VER") out.guest_version = value;
    if (name == "XEN_VER") out.xen_version = value;
    if (name == "PAE") out.pae_mode = value;
    if (name == "BSD_SYMTAB") out.bsd_symtab = true;
    if (name == "VIRT_BASE") out.virt_base = TRY(parse_integer(value));
    if (name == "VIRT_ENTRY") out.entry = TRY(parse_integer(value));
    if (name == "ELF_PADDR_OFFSET") out.paddr_offset = TRY(parse_integer(value));
    if (name == "HYPERCALL_PAGE") out.hypercall_page = (TRY(parse_integer(value)) << page_shift) + out.base_address();
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
