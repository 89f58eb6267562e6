// SPDX-License-Identifier: Apache-2.0
// link: bootmenu
// Whatever a guest writes into its boot configuration ends, in little memory, and its words stay in their place in each format.
#include <cstdint>
#include <cstdlib>

#include "toolstack/pygrub/boot_menu.hpp"
#include "toolstack/pygrub/output.hpp"

namespace {

void look_at(const base::Outcome<pygrub::BootMenu>& menu) {
    if (!menu) return;
    if (menu->entries.size() > pygrub::most_entries) std::abort();
    for (const pygrub::BootEntry& entry : menu->entries) {
        if (entry.args.find('\n') != std::string::npos || entry.args.find('\0') != std::string::npos) std::abort();
        const std::string said = pygrub::print_boot({"/k", "", entry.args}, pygrub::OutputFormat::simple);
        if (said != "kernel /k\n" + (entry.args.empty() ? "" : "args " + entry.args + "\n")) std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    pygrub::GrubSurroundings beside;
    beside.environment = pygrub::parse_grub_environment(text);
    beside.loader_entries = [&] { return std::vector<pygrub::LoaderEntry>{{"a", std::string(text)}}; };
    look_at(pygrub::parse_grub_script(text, beside));
    look_at(pygrub::parse_menu_list(text));
    look_at(pygrub::parse_syslinux(text, "/boot/"));
    return 0;
}
