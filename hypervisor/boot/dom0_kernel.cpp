// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/dom0_kernel.hpp"

#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "lib/parse/bzimage.hpp"
#include "lib/parse/xz.hpp"

namespace hv {
namespace {

constexpr uint64_t max_unpacked = uint64_t{512} << 20;

unsigned order_for(uint64_t bytes) {
    unsigned order = 0;
    while ((page_size << order) < bytes) ++order;
    return order;
}

/// The packed payload's ELF file, in memory of our own.
parse::Bytes unpack(const parse::BzImage& bz, Dom0Kernel& k) {
    if (bz.packing != parse::Packing::xz)
        give_up("The dom0 kernel is packed with %s; the hypervisor unpacks xz only", parse::packing_name(bz.packing));
    const uint64_t size = bz.unpacked_size;
    if (size == 0 || size > max_unpacked) give_up("The dom0 kernel claims to unpack to %lu bytes", size);
    k.order = order_for(size);
    auto buffer = heap::alloc(k.order);
    auto workspace = make<parse::XzWorkspace>();
    if (!buffer || !workspace) give_up("Not enough memory to unpack the dom0 kernel (%lu MiB)", size >> 20);
    k.buffer = buffer.value();
    k.owns_buffer = true;
    auto* out = map_mfn<std::byte>(k.buffer);
    const Nanos start = clock::now();
    auto n = parse::xz_decode(bz.payload, {out, static_cast<size_t>(size)}, *workspace.value());
    destroy(workspace.value());
    if (!n) give_up("The dom0 kernel cannot be unpacked: error %u (damaged file?)", static_cast<unsigned>(n.error()));
    log(LogLevel::info, "Dom0 kernel: unpacked %lu MiB in %ld ms", n.value() >> 20, (clock::now() - start).n / 1'000'000);
    return {out, n.value()};
}

}  // namespace

Dom0Kernel dom0_open_kernel(parse::Bytes module) {
    Dom0Kernel k;
    parse::Bytes elf = module;
    if (parse::is_bzimage(module)) {
        auto bz = parse::open_bzimage(module);
        if (!bz)
            give_up("The dom0 kernel is a bzImage that cannot be used: %s",
                    bz.error() == base::Errc::range ? "the file is truncated"
                                                    : "its setup header has no payload or one of an unknown format");
        elf = bz.value().packing == parse::Packing::elf ? bz.value().payload : unpack(bz.value(), k);
    } else if (!parse::is_elf(module)) {
        give_up("The first boot module is no kernel: neither a bzImage nor an ELF file");
    }
    auto image = parse::ElfImage::open(elf);
    if (!image) give_up("The dom0 kernel is not a usable 64-bit ELF file: error %u", static_cast<unsigned>(image.error()));
    k.image = image.value();
    auto notes = parse::read_xen_notes(k.image);
    if (!notes) give_up("The dom0 kernel has no Xen notes: it was built without support for Xen PV");
    k.notes = notes.value();
    k.entry = k.notes.entry.value_or(k.image.entry());
    log(LogLevel::info, "Dom0 kernel: %.*s %.*s, virt %lx-%lx, entry %lx", static_cast<int>(k.notes.guest_os.size()),
        k.notes.guest_os.data(), static_cast<int>(k.notes.guest_version.size()), k.notes.guest_version.data(),
        k.image.virtual_extent().start, k.image.virtual_extent().end, k.entry);
    return k;
}

void dom0_release_kernel(Dom0Kernel& k) {
    if (k.owns_buffer) heap::free(k.buffer, k.order);
    k.owns_buffer = false;
}

}  // namespace hv
