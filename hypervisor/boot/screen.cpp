// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/screen.hpp"

namespace hv {

namespace {

constexpr uint8_t pixels = 1, text = 2;  // types of multiboot's frame buffers

/// Pixels at an address and of a pitch for which the structure has room; `out` stays as it is for others.
void describe_pixels(const parse::BootFramebuffer& f, bool uefi, xen::Dom0VgaConsoleInfo& out) {
    if (f.width > UINT16_MAX || f.height > UINT16_MAX || f.pitch > UINT16_MAX) return;
    constexpr unsigned block_shift = 16;  // lfb_size counts 64 KiB
    const uint64_t bytes = uint64_t{f.pitch} * f.height;
    auto& lfb = out.u.vesa_lfb;
    out.video_type = uefi ? xen::XEN_VGATYPE_EFI_LFB : xen::XEN_VGATYPE_VESA_LFB;
    lfb.width = static_cast<uint16_t>(f.width);
    lfb.height = static_cast<uint16_t>(f.height);
    lfb.bytes_per_line = static_cast<uint16_t>(f.pitch);
    lfb.bits_per_pixel = f.bits_per_pixel;
    lfb.lfb_base = static_cast<uint32_t>(f.address);
    lfb.ext_lfb_base = static_cast<uint32_t>(f.address >> 32);
    lfb.lfb_size = static_cast<uint32_t>((bytes + (1u << block_shift) - 1) >> block_shift);
    lfb.red_pos = f.red_position;
    lfb.red_size = f.red_size;
    lfb.green_pos = f.green_position;
    lfb.green_size = f.green_size;
    lfb.blue_pos = f.blue_position;
    lfb.blue_size = f.blue_size;
    // What is left of a pixel of 32 bits: the highest of them, as firmware lays them out.
    const unsigned used = f.red_size + f.green_size + f.blue_size;
    if (f.bits_per_pixel != 32 || used >= 32) return;
    lfb.rsvd_size = static_cast<uint8_t>(32 - used);
    lfb.rsvd_pos = static_cast<uint8_t>(used);
}

}  // namespace

bool screen_has_text(const parse::BootRecord& record) {
    return record.framebuffer ? record.framebuffer->type == text : record.efi_system_table == 0;
}

xen::Dom0VgaConsoleInfo screen_for_dom0(const parse::BootRecord& record) {
    auto out = xen::zeroed<xen::Dom0VgaConsoleInfo>();
    if (screen_has_text(record)) {
        out.video_type = xen::XEN_VGATYPE_TEXT_MODE_3;
        out.u.text_mode_3.font_height = 16;
        out.u.text_mode_3.rows = 25;
        out.u.text_mode_3.columns = 80;
    } else if (record.framebuffer && record.framebuffer->type == pixels) {
        describe_pixels(*record.framebuffer, record.efi_system_table != 0, out);
    }
    return out;
}

}  // namespace hv
