// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/vocabulary.hpp"

#include <algorithm>
#include <array>

namespace config {

namespace {

using enum Standing;

constexpr std::array<std::string_view, 9> off = {"", "0", "False", "no", "n", "off", "none", "default", "disabled"};

// clang-format off
constexpr std::array all_words = {
    Word{"access_control",             refused,  "labels of a security policy"},
    Word{"argo",                       refused,  "Argo"},
    Word{"blkif",                      refused,  "domains that serve disks to others"},
    Word{"bootentry",                  refused,  "entries of a boot loader"},
    Word{"channel",                    refused,  "channels"},
    Word{"cpuid",                      refused,  "changes of the CPU's features"},
    Word{"cpus_soft",                  refused,  "soft affinity"},
    Word{"driver_domain",              refused,  "domains that serve devices to others"},
    Word{"dtdev",                      refused,  "devices of a device tree"},
    Word{"e820_host",                  refused,  "the memory map of the host"},
    Word{"init_seclabel",              refused,  "labels of a security policy"},
    Word{"iomem",                      refused,  "access to device memory"},
    Word{"ioports",                    refused,  "access to I/O ports"},
    Word{"irq",                        refused,  "interrupts of devices"},
    Word{"irqs",                       refused,  "interrupts of devices"},
    Word{"netif",                      refused,  "domains that serve networks to others"},
    Word{"p9",                         refused,  "shared folders"},
    Word{"passthrough",                refused,  "devices of the host"},
    Word{"pci",                        refused,  "PCI devices"},
    Word{"pvcalls",                    refused,  "sockets of the host"},
    Word{"pvshim",                     refused,  "the shim"},
    Word{"rdm",                        refused,  "reserved device memory"},
    Word{"seclabel",                   refused,  "labels of a security policy"},
    Word{"snapshot",                   refused,  "disks that forget"},
    Word{"ssidref",                    refused,  "labels of a security policy"},
    Word{"tpmif",                      refused,  "domains that serve a TPM to others"},
    Word{"usbctrl",                    refused,  "USB controllers"},
    Word{"usbdev",                     refused,  "USB devices"},
    Word{"usbport",                    refused,  "USB ports"},
    Word{"vdispl",                     refused,  "displays"},
    Word{"vfb",                        refused,  "frame buffers"},
    Word{"virtio",                     refused,  "virtio devices"},
    Word{"vkb",                        refused,  "keyboards"},
    Word{"vmtrace_buf_kb",             refused,  "traces of the CPU"},
    Word{"vnuma",                      refused,  "several memory nodes"},
    Word{"vpmu",                       refused,  "performance counters"},
    Word{"vsnd",                       refused,  "sound"},
    Word{"vtpm",                       refused,  "TPMs"},
    Word{"vuart",                      refused,  "serial lines"},

    Word{"acpi", hvm},
    Word{"acpi_firmware", hvm},
    Word{"acpi_laptop_slate", hvm},
    Word{"acpi_s3", hvm},
    Word{"acpi_s4", hvm},
    Word{"altp2m", hvm},
    Word{"altp2mhvm", hvm},
    Word{"apic", hvm},
    Word{"bios", hvm},
    Word{"bios_path_override", hvm},
    Word{"boot", hvm},
    Word{"cdrom", hvm},
    Word{"device_model", hvm},
    Word{"device_model_args", hvm},
    Word{"device_model_args_hvm", hvm},
    Word{"device_model_override", hvm},
    Word{"device_model_stubdomain_override", hvm},
    Word{"device_model_user", hvm},
    Word{"device_model_version", hvm},
    Word{"display", hvm},
    Word{"dm_restrict", hvm},
    Word{"fda", hvm},
    Word{"fdb", hvm},
    Word{"firmware", hvm},
    Word{"firmware_override", hvm},
    Word{"gfx_passthru", hvm},
    Word{"hap", hvm},
    Word{"hdtype", hvm},
    Word{"hpet", hvm},
    Word{"hvmloader", hvm},
    Word{"ioreq_server_pages", hvm},
    Word{"isa", hvm},
    Word{"keymap", hvm},
    Word{"mca_caps", hvm},
    Word{"mmio_hole", hvm},
    Word{"monitor", hvm},
    Word{"ms_vm_genid", hvm},
    Word{"msr_relaxed", hvm},
    Word{"nested_hvm", hvm},
    Word{"nestedhvm", hvm},
    Word{"nographic", hvm},
    Word{"nx", hvm},
    Word{"on_soft_reset", hvm},
    Word{"oos", hvm},
    Word{"opengl", hvm},
    Word{"pae", hvm},
    Word{"rdm_mem_boundary", hvm},
    Word{"sdl", hvm},
    Word{"serial", hvm},
    Word{"shadow_memory", hvm},
    Word{"smbios_firmware", hvm},
    Word{"soundhw", hvm},
    Word{"spice", hvm},
    Word{"spice_clipboard_sharing", hvm},
    Word{"spiceagent_mouse", hvm},
    Word{"spicedisable_ticketing", hvm},
    Word{"spicehost", hvm},
    Word{"spicepasswd", hvm},
    Word{"spiceport", hvm},
    Word{"spicetls_port", hvm},
    Word{"spiceusbredirection", hvm},
    Word{"spicevdagent", hvm},
    Word{"stdvga", hvm},
    Word{"stubdomain_cmdline", hvm},
    Word{"stubdomain_kernel", hvm},
    Word{"stubdomain_memory", hvm},
    Word{"stubdomain_ramdisk", hvm},
    Word{"system_firmware", hvm},
    Word{"timer_mode", hvm},
    Word{"usb", hvm},
    Word{"usbdevice", hvm},
    Word{"usbversion", hvm},
    Word{"vendor_device", hvm},
    Word{"vga", hvm},
    Word{"videoram", hvm},
    Word{"viridian", hvm},
    Word{"vkb_device", hvm},
    Word{"vnc", hvm},
    Word{"vncconsole", hvm},
    Word{"vncdisplay", hvm},
    Word{"vnclisten", hvm},
    Word{"vncpasswd", hvm},
    Word{"vncunused", hvm},
    Word{"vncviewer", hvm},
    Word{"vpt_align", hvm},
    Word{"xauthority", hvm},
    Word{"xen_extended_power_mgmt", hvm},
    Word{"xen_platform_pci", hvm},

    Word{"console",                    harmless, "consoles have no TCP port; xm console shows them"},
    Word{"device_tree",                harmless, "it is for ARM"},
    Word{"gic_version",                harmless, "it is for ARM"},
    Word{"guest_os_type",              harmless, "it is for Itanium"},
    Word{"machine_address_size",       harmless, "the guest's memory can stand anywhere"},
    Word{"nomigrate",                  harmless, "it keeps no domain from being migrated"},
    Word{"pci_msitranslate",           harmless, "it is for PCI devices"},
    Word{"pci_permissive",             harmless, "it is for PCI devices"},
    Word{"pci_power_mgmt",             harmless, "it is for PCI devices"},
    Word{"pci_seize",                  harmless, "it is for PCI devices"},
    Word{"sve",                        harmless, "it is for ARM"},
    Word{"tee",                        harmless, "it is for ARM"},
    Word{"vhpt",                       harmless, "it is for Itanium"},
    Word{"xend_suspend_evtchn_compat", harmless, "guests of either kind are understood"},
};
// clang-format on

}  // namespace

std::span<const Word> words() { return all_words; }

const Word* find_word(std::string_view name) {
    const auto at = std::ranges::find(all_words, name, &Word::name);
    return at == all_words.end() ? nullptr : &*at;
}

bool asks(const Word& word, const Value& value) {
    if (value.as<Value::None>() != nullptr) return false;
    if (const auto* list = value.as<Value::List>()) {
        return std::ranges::any_of(*list, [&](const Value& item) { return asks(word, item); });
    }
    if (const auto* tuple = value.as<Value::Tuple>()) return !tuple->items.empty();
    if (const auto* dict = value.as<Value::Dict>()) return !dict->keys.empty();
    const std::string text = value.text();
    return std::ranges::find(off, text) == off.end() && (word.off.empty() || text != word.off);
}

}  // namespace config
