// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "lib/base/outcome.hpp"
#include "toolstack/config/uuid.hpp"

namespace config {

/// What to do with a domain that has stopped by itself.
enum class ExitAction : uint8_t { destroy, restart, preserve, rename_restart, coredump_destroy, coredump_restart };

std::string_view name_of(ExitAction action);
/// Knows the four classic words, `rename_restart`, xl's `coredump-*` and the old `never` (= destroy).
std::optional<ExitAction> parse_exit_action(std::string_view word);
/// What is done with the domain itself, its dump taken: the first four.
ExitAction without_dump(ExitAction action);

enum class DiskMode : uint8_t { read_only, read_write, shared_write };  // "r", "w", "w!"

std::string_view name_of(DiskMode mode);

/// One virtual block device, as `BACK,DEV,MODE[,BACKDOM]` describes it.
struct Disk {
    std::string type;    // "phy", "file", or another word before the colon: the script block-TYPE
    std::string target;  // device path (absolute) or file path; empty: removable drive without a medium
    std::string vdev;    // as the guest sees it: "xvda", "xvda1", or a number as text
    uint32_t devid = 0;  // xenstore device number of vdev (xvda = 51712)
    bool cdrom = false;  // "hdc:cdrom"
    DiskMode mode = DiskMode::read_write;
    std::string backend = "0";  // name or id of the backend domain
    bool discard = true;        // the guest may give back what it does not need
    bool trusted = true;        // false: the guest is told to keep its other data from the back end

    bool operator==(const Disk&) const = default;
    /// `phy:/dev/x` / `file:/path`, as it is written in a config file.
    std::string uname() const;
};

/// One virtual network interface.
struct Vif {
    std::string type;        // empty or "netfront"; "ioemu" for HVM
    std::string mac;         // normal form; empty: derived from the domain's uuid
    std::string bridge;      // empty: the script chooses
    std::string vnet;        // the id of the virtual network that it is on, in normal form; empty: none
    std::string script;      // empty: xend's default (vif-bridge)
    std::string vifname;     // empty: vifDOMID.INDEX
    std::string ip;          // blank-separated list for the scripts
    std::string rate;        // as written, e.g. "10Mb/s@50ms"; see rate_limit()
    std::string model;       // HVM only
    std::string mtu;         // of dom0's end; empty: the bridge's
    std::string gatewaydev;  // for routing scripts
    std::string trusted;     // "0": the guest is told to keep its other data from the back end
    std::string devid;       // its number; empty: the lowest that is free
    std::string backend = "0";

    bool operator==(const Vif&) const = default;
};

/// What only a paravirtual domain has.
struct PvGuest {
    std::string builder = "linux";  // or "generic", as it was written
    std::string features;           // "!writable_page_tables|pae_pgdir_above_4gb"

    bool operator==(const PvGuest&) const = default;
};

/// A domain on virtual hardware. Nothing makes one yet.
struct HvmGuest {
    bool operator==(const HvmGuest&) const = default;
};

/// A domain in a hardware container, without a device model. Nothing makes one yet.
struct PvhGuest {
    bool operator==(const PvhGuest&) const = default;
};

/// Of which type a domain is, with what only that type has.
using Guest = std::variant<PvGuest, HvmGuest, PvhGuest>;

/// "linux", "generic", "hvm", "pvh": what `builder` says in a file, and the name of the element in (image …).
std::string_view builder_of(const Guest& guest);

/// A whole domain as its owner describes it: typed and validated; strings of config files stop here. Each member has
/// its row in fields.cpp, each list of devices in device_kinds.cpp. Units: memory in MiB.
struct DomainConfig {
    std::string name;
    Uuid uuid;  // nil: xend chooses one at creation
    Guest guest;
    std::string kernel;   // absolute path in dom0
    std::string ramdisk;  // absolute path in dom0 or empty
    uint64_t memory_mib = 128;
    uint64_t maxmem_mib = 0;  // 0: same as memory
    uint32_t vcpus = 1;
    uint64_t vcpu_avail = 0;  // bitmap of vCPUs online at boot; 0: all
    std::string cpus;         // allowed CPUs "0-3,^1"; one such text a vCPU, with ';' between them, is xl's list; empty: any
    std::optional<uint32_t> cpu_weight;
    std::optional<uint32_t> cpu_cap;
    std::string pool;                  // the CPU pool that it is made in, by name or number; empty: Pool-0
    std::optional<uint32_t> tsc_mode;  // see tsc_modes
    bool localtime = false;            // its clock shows dom0's local time
    int32_t rtc_timeoffset = 0;        // seconds added to its clock
    std::optional<uint32_t> max_event_channels;
    std::optional<uint32_t> max_grant_frames;
    std::optional<uint32_t> max_maptrack_frames;
    std::optional<uint32_t> max_grant_version;

    // Parts of the kernel command line; see cmdline().
    std::string ip;  // the whole "ip=" value, composed of ip/gateway/netmask/hostname/interface/dhcp
    std::string root;
    std::string nfs_server;
    std::string nfs_root;
    std::string extra;

    ExitAction on_poweroff = ExitAction::destroy;
    ExitAction on_reboot = ExitAction::restart;
    ExitAction on_crash = ExitAction::restart;
    std::optional<ExitAction> on_watchdog;  // not given: as on_crash
    std::string on_xend_start = "ignore";
    std::string on_xend_stop = "ignore";

    std::string bootloader;
    std::string bootargs;

    std::vector<Disk> disks;
    std::vector<Vif> vifs;

    bool operator==(const DomainConfig&) const = default;

    /// maxmem_mib, or memory_mib where no limit was given.
    uint64_t max_memory_mib() const { return maxmem_mib != 0 ? maxmem_mib : memory_mib; }
    /// "ip=… root=… nfsroot=… extra": what the guest kernel gets.
    std::string cmdline() const;
    /// The words of bootargs.
    std::vector<std::string> bootarg_words() const;
};

/// What reading the time-stamp counter gives, by number: the names of xl.
inline constexpr std::array<std::string_view, 4> tsc_modes = {"default", "always_emulate", "native", "native_paravirt"};

/// Limits which every source of a DomainConfig obeys.
inline constexpr uint32_t max_vcpus = 128;
inline constexpr size_t max_disks = 64;
inline constexpr size_t max_vifs = 32;
inline constexpr size_t max_cmdline = 1023;  // the guest's start-info page holds 1024 bytes with the final zero

/// A boot loader reads the first disk in dom0. Not part of validate(): a domain that runs may lose that disk. Errors: inval.
base::Outcome<> check_boot_disk(const DomainConfig& config);

/// Checks what no single field can: that name and kernel are there, that sizes fit each other, no device twice. Each value
/// was checked by its row where it came in. Errors: Errc::inval with one line that names the variable.
base::Outcome<> validate(const DomainConfig& config);

/// True for the characters [A-Za-z0-9_.:/+-] and a first one that is not a digit.
bool is_valid_name(std::string_view name);

/// "xvda1" -> 51713, "sda" -> 2048, "hdc" -> 5632, "51712", "0xca00"; nullopt when it is none of these.
std::optional<uint32_t> device_number(std::string_view vdev);

/// Turns "0-3,5,^1" or "all" into a bitmap of `cpus` CPUs; higher ones are taken modulo that, as classic xend did.
/// Errors: inval, the text begins with the list.
base::Outcome<std::vector<uint8_t>> parse_cpu_list(std::string_view text, uint32_t cpus);
/// The CPUs that a list names, in order; nullopt where it is of all that a machine has, or no list.
std::optional<std::vector<uint32_t>> cpus_named(std::string_view list);
/// The list of vCPU `vcpu` in DomainConfig::cpus, which is for all when it is the only one; empty: any CPU.
std::string_view cpus_of_vcpu(std::string_view cpus, uint32_t vcpu);

/// A limit of a network interface: `bytes` in each window of `usec`.
struct RateLimit {
    uint32_t bytes = 0;
    uint32_t usec = 0;

    /// Bytes a second; `usec` is not 0.
    uint64_t per_second() const { return uint64_t{bytes} * 1'000'000 / usec; }
    /// "1250000B/s@50000us"
    std::string text() const { return std::to_string(per_second()) + "B/s@" + std::to_string(usec) + "us"; }
};
/// "10Mb/s", "250KB/s@20ms": powers of 1000, b for bits, windows of 50 ms. Errors: inval, what is wrong with it.
base::Outcome<RateLimit> rate_limit(std::string_view text);

/// False for text with control characters other than tabs: it goes into paths, command lines and the store.
bool is_printable(std::string_view text);

/// Parses `BACK,DEV,MODE[,BACKDOM]` and xl's positions and keys. Errors: Errc::inval "Invalid disk specifier: …".
base::Outcome<Disk> parse_disk(std::string_view spec);
/// True for the types of image files that hold more than the guest's bytes: "qcow2", "vhd" …
bool is_image_format(std::string_view type);
/// Parses `key=value,…`; blanks around the separators do not matter. Errors: Errc::inval "Invalid vif option: …".
base::Outcome<Vif> parse_vif(std::string_view spec);

}  // namespace config
