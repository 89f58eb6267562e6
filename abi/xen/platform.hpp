// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_platform_op.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t XENPF_INTERFACE_VERSION = 0x03000001;
inline constexpr std::uint32_t XENPF_settime32 = 17;

struct XenpfSetTime32 {
    std::uint32_t secs;
    std::uint32_t nsecs;
    std::uint64_t system_time;
};
static_assert(exact_layout<XenpfSetTime32, 16>);

inline constexpr std::uint32_t XENPF_settime64 = 62;

/// Wall clock: seconds and nanoseconds of UTC at system_time ns after boot.
struct XenpfSetTime64 {
    std::uint64_t secs;
    std::uint32_t nsecs;
    std::uint32_t mbz;
    std::uint64_t system_time;
};
static_assert(exact_layout<XenpfSetTime64, 24>);

inline constexpr auto XENPF_settime = XENPF_settime64;
inline constexpr std::uint32_t XENPF_add_memtype = 31;

struct XenpfAddMemType {
    xen_pfn_t mfn;
    std::uint64_t nr_mfns;
    std::uint32_t type;
    std::uint32_t handle;
    std::uint32_t reg;
    std::uint32_t _pad;
};
static_assert(exact_layout<XenpfAddMemType, 32>);

inline constexpr std::uint32_t XENPF_del_memtype = 32;

struct XenpfDelMemType {
    std::uint32_t handle;
    std::uint32_t reg;
};
static_assert(exact_layout<XenpfDelMemType, 8>);

inline constexpr std::uint32_t XENPF_read_memtype = 33;

struct XenpfReadMemType {
    std::uint32_t reg;
    std::uint32_t _pad;
    xen_pfn_t mfn;
    std::uint64_t nr_mfns;
    std::uint32_t type;
    std::uint32_t _pad1;
};
static_assert(exact_layout<XenpfReadMemType, 32>);

inline constexpr std::uint32_t XENPF_microcode_update = 35;

struct XenpfMicrocodeUpdate {
    Handle<const void> data;
    std::uint32_t length;
    std::uint32_t _pad;
};
static_assert(exact_layout<XenpfMicrocodeUpdate, 16>);

inline constexpr std::uint32_t XENPF_platform_quirk = 39;

inline constexpr std::uint32_t QUIRK_NOIRQBALANCING = 1;
inline constexpr std::uint32_t QUIRK_IOAPIC_BAD_REGSEL = 2;
inline constexpr std::uint32_t QUIRK_IOAPIC_GOOD_REGSEL = 3;

struct XenpfPlatformQuirk {
    std::uint32_t quirk_id;
};
static_assert(exact_layout<XenpfPlatformQuirk, 4>);

inline constexpr std::uint32_t XENPF_efi_runtime_call = 49;

inline constexpr std::uint32_t XEN_EFI_get_time = 1;
inline constexpr std::uint32_t XEN_EFI_set_time = 2;
inline constexpr std::uint32_t XEN_EFI_get_wakeup_time = 3;
inline constexpr std::uint32_t XEN_EFI_set_wakeup_time = 4;
inline constexpr std::uint32_t XEN_EFI_get_next_high_monotonic_count = 5;
inline constexpr std::uint32_t XEN_EFI_get_variable = 6;
inline constexpr std::uint32_t XEN_EFI_set_variable = 7;
inline constexpr std::uint32_t XEN_EFI_get_next_variable_name = 8;
inline constexpr std::uint32_t XEN_EFI_query_variable_info = 9;
inline constexpr std::uint32_t XEN_EFI_query_capsule_capabilities = 10;
inline constexpr std::uint32_t XEN_EFI_update_capsule = 11;

struct XenpfEfiTime {
    std::uint16_t year;
    std::uint8_t month;
    std::uint8_t day;
    std::uint8_t hour;
    std::uint8_t min;
    std::uint8_t sec;
    std::uint8_t _pad;
    std::uint32_t ns;
    std::int16_t tz;
    std::uint8_t daylight;
    std::uint8_t _pad1;
};
static_assert(exact_layout<XenpfEfiTime, 16>);

struct XenpfEfiGuid {
    std::uint32_t data1;
    std::uint16_t data2;
    std::uint16_t data3;
    std::uint8_t data4[8];
};
static_assert(exact_layout<XenpfEfiGuid, 16>);

inline constexpr std::uint32_t XEN_EFI_GET_TIME_SET_CLEARS_NS = 0x00000001;
inline constexpr std::uint32_t XEN_EFI_GET_WAKEUP_TIME_ENABLED = 0x00000001;
inline constexpr std::uint32_t XEN_EFI_GET_WAKEUP_TIME_PENDING = 0x00000002;
inline constexpr std::uint32_t XEN_EFI_SET_WAKEUP_TIME_ENABLE = 0x00000001;
inline constexpr std::uint32_t XEN_EFI_SET_WAKEUP_TIME_ENABLE_ONLY = 0x00000002;
inline constexpr std::uint32_t XEN_EFI_VARIABLE_NON_VOLATILE = 0x00000001;
inline constexpr std::uint32_t XEN_EFI_VARIABLE_BOOTSERVICE_ACCESS = 0x00000002;
inline constexpr std::uint32_t XEN_EFI_VARIABLE_RUNTIME_ACCESS = 0x00000004;
inline constexpr std::uint32_t XEN_EFI_VARINFO_BOOT_SNAPSHOT = 0x00000001;

struct XenpfEfiRuntimeCall {
    std::uint32_t function;
    std::uint32_t misc;
    xen_ulong_t status;
    union {
        struct {
            XenpfEfiTime time;
            std::uint32_t resolution;
            std::uint32_t accuracy;
        } get_time;
        XenpfEfiTime set_time;
        XenpfEfiTime get_wakeup_time;
        XenpfEfiTime set_wakeup_time;
        struct {
            Handle<void> name;
            xen_ulong_t size;
            Handle<void> data;
            XenpfEfiGuid vendor_guid;
        } get_variable;
        struct {
            Handle<void> name;
            xen_ulong_t size;
            Handle<void> data;
            XenpfEfiGuid vendor_guid;
        } set_variable;
        struct {
            xen_ulong_t size;
            Handle<void> name;
            XenpfEfiGuid vendor_guid;
        } get_next_variable_name;
        struct {
            std::uint32_t attr;
            std::uint32_t _pad;
            std::uint64_t max_store_size;
            std::uint64_t remain_store_size;
            std::uint64_t max_size;
        } query_variable_info;
        struct {
            Handle<void> capsule_header_array;
            xen_ulong_t capsule_count;
            std::uint64_t max_capsule_size;
            std::uint32_t reset_type;
            std::uint32_t _pad;
        } query_capsule_capabilities;
        struct {
            Handle<void> capsule_header_array;
            xen_ulong_t capsule_count;
            std::uint64_t sg_list;
        } update_capsule;
    } u;
};
static_assert(layout<XenpfEfiRuntimeCall, 56>);

inline constexpr std::uint32_t XENPF_firmware_info = 50;

inline constexpr std::uint32_t XEN_FW_DISK_INFO = 1;
inline constexpr std::uint32_t XEN_FW_DISK_MBR_SIGNATURE = 2;
inline constexpr std::uint32_t XEN_FW_VBEDDC_INFO = 3;
inline constexpr std::uint32_t XEN_FW_EFI_INFO = 4;
inline constexpr std::uint32_t XEN_FW_EFI_VERSION = 0;
inline constexpr std::uint32_t XEN_FW_EFI_CONFIG_TABLE = 1;
inline constexpr std::uint32_t XEN_FW_EFI_VENDOR = 2;
inline constexpr std::uint32_t XEN_FW_EFI_MEM_INFO = 3;
inline constexpr std::uint32_t XEN_FW_EFI_RT_VERSION = 4;
inline constexpr std::uint32_t XEN_FW_EFI_PCI_ROM = 5;
inline constexpr std::uint32_t XEN_FW_EFI_APPLE_PROPERTIES = 6;
inline constexpr std::uint32_t XEN_FW_KBD_SHIFT_FLAGS = 5;

/// What firmware told at boot: disks, EDD, VBE, EFI tables.
struct XenpfFirmwareInfo {
    std::uint32_t type;
    std::uint32_t index;
    union {
        struct {
            std::uint8_t device;
            std::uint8_t version;
            std::uint16_t interface_support;
            std::uint16_t legacy_max_cylinder;
            std::uint8_t legacy_max_head;
            std::uint8_t legacy_sectors_per_track;
            Handle<void> edd_params;
        } disk_info;
        struct {
            std::uint8_t device;
            std::uint8_t _pad[3];
            std::uint32_t mbr_signature;
        } disk_mbr_signature;
        struct {
            std::uint8_t capabilities;
            std::uint8_t edid_transfer_time;
            std::uint16_t _pad[3];
            Handle<std::uint8_t> edid;
        } vbeddc_info;
        union XenpfEfiInfo {
            std::uint32_t version;
            struct {
                std::uint64_t addr;
                std::uint32_t nent;
                std::uint32_t _pad;
            } cfg;
            struct {
                std::uint32_t revision;
                std::uint32_t bufsz;
                Handle<void> name;
            } vendor;
            struct {
                std::uint64_t addr;
                std::uint64_t size;
                std::uint64_t attr;
                std::uint32_t type;
                std::uint32_t _pad;
            } mem;
            struct {
                std::uint16_t segment;
                std::uint8_t bus;
                std::uint8_t devfn;
                std::uint16_t vendor;
                std::uint16_t devid;
                std::uint64_t address;
                xen_ulong_t size;
            } pci_rom;
            struct {
                std::uint64_t address;
                xen_ulong_t size;
            } apple_properties;
        } efi_info;
        std::uint8_t kbd_shift_flags;
    } u;
};
static_assert(layout<XenpfFirmwareInfo, 40>);

inline constexpr std::uint32_t XENPF_enter_acpi_sleep = 51;
inline constexpr std::uint32_t XENPF_ACPI_SLEEP_EXTENDED = 0x00000001;

/// PM1 control values for the sleep state dom0's ACPI chose.
struct XenpfEnterAcpiSleep {
    std::uint16_t val_a;
    std::uint16_t val_b;
    std::uint32_t sleep_state;
    std::uint32_t flags;
};
static_assert(exact_layout<XenpfEnterAcpiSleep, 12>);

inline constexpr std::uint32_t XENPF_change_freq = 52;

struct XenpfChangeFreq {
    std::uint32_t flags;
    std::uint32_t cpu;
    std::uint64_t freq;
};
static_assert(exact_layout<XenpfChangeFreq, 16>);

inline constexpr std::uint32_t XENPF_getidletime = 53;

struct XenpfGetIdleTime {
    Handle<std::uint8_t> cpumap_bitmap;
    std::uint32_t cpumap_nr_cpus;
    std::uint32_t _pad;
    Handle<std::uint64_t> idletime;
    std::uint64_t now;
};
static_assert(exact_layout<XenpfGetIdleTime, 32>);

inline constexpr std::uint32_t XENPF_set_processor_pminfo = 54;

inline constexpr std::uint32_t XEN_PROCESSOR_PM_CX = 1;
inline constexpr std::uint32_t XEN_PROCESSOR_PM_PX = 2;
inline constexpr std::uint32_t XEN_PROCESSOR_PM_TX = 4;

inline constexpr std::uint32_t XEN_PM_CX = 0;
inline constexpr std::uint32_t XEN_PM_PX = 1;
inline constexpr std::uint32_t XEN_PM_TX = 2;
inline constexpr std::uint32_t XEN_PM_PDC = 3;

inline constexpr std::uint32_t XEN_PX_PCT = 1;
inline constexpr std::uint32_t XEN_PX_PSS = 2;
inline constexpr std::uint32_t XEN_PX_PPC = 4;
inline constexpr std::uint32_t XEN_PX_PSD = 8;

struct PowerRegister {
    std::uint32_t space_id;
    std::uint32_t bit_width;
    std::uint32_t bit_offset;
    std::uint32_t access_size;
    std::uint64_t address;
};
static_assert(exact_layout<PowerRegister, 24>);

struct ProcessorCsd {
    std::uint32_t domain;
    std::uint32_t coord_type;
    std::uint32_t num;
};
static_assert(exact_layout<ProcessorCsd, 12>);

struct ProcessorCx {
    PowerRegister reg;
    std::uint8_t type;
    std::uint8_t _pad[3];
    std::uint32_t latency;
    std::uint32_t power;
    std::uint32_t dpcnt;
    Handle<ProcessorCsd> dp;
};
static_assert(exact_layout<ProcessorCx, 48>);

struct ProcessorFlags {
    std::uint32_t bm_control : 1;
    std::uint32_t bm_check : 1;
    std::uint32_t has_cst : 1;
    std::uint32_t power_setup_done : 1;
    std::uint32_t bm_rld_set : 1;
};
static_assert(layout<ProcessorFlags, 4>);

struct ProcessorPower {
    std::uint32_t count;
    ProcessorFlags flags;
    Handle<ProcessorCx> states;
};
static_assert(layout<ProcessorPower, 16>);

struct PctRegister {
    std::uint8_t descriptor;
    std::uint8_t _pad;
    std::uint16_t length;
    std::uint8_t space_id;
    std::uint8_t bit_width;
    std::uint8_t bit_offset;
    std::uint8_t reserved;
    std::uint64_t address;
};
static_assert(exact_layout<PctRegister, 16>);

struct ProcessorPx {
    std::uint64_t core_frequency;
    std::uint64_t power;
    std::uint64_t transition_latency;
    std::uint64_t bus_master_latency;
    std::uint64_t control;
    std::uint64_t status;
};
static_assert(exact_layout<ProcessorPx, 48>);

struct PsdPackage {
    std::uint64_t num_entries;
    std::uint64_t revision;
    std::uint64_t domain;
    std::uint64_t coord_type;
    std::uint64_t num_processors;
};
static_assert(exact_layout<PsdPackage, 40>);

inline constexpr std::uint32_t XEN_CPUPERF_SHARED_TYPE_HW = 1;
inline constexpr std::uint32_t XEN_CPUPERF_SHARED_TYPE_ALL = 2;
inline constexpr std::uint32_t XEN_CPUPERF_SHARED_TYPE_ANY = 3;

struct ProcessorPerformance {
    std::uint32_t flags;
    std::uint32_t platform_limit;
    PctRegister control_register;
    PctRegister status_register;
    std::uint32_t state_count;
    std::uint32_t _pad;
    Handle<ProcessorPx> states;
    PsdPackage domain_info;
    std::uint32_t shared_type;
    std::uint32_t _pad1;
};
static_assert(exact_layout<ProcessorPerformance, 104>);

struct XenpfSetProcessorPmInfo {
    std::uint32_t id;
    std::uint32_t type;
    union {
        ProcessorPower power;
        ProcessorPerformance perf;
        Handle<std::uint32_t> pdc;
    } u;
};
static_assert(layout<XenpfSetProcessorPmInfo, 112>);

inline constexpr std::uint32_t XENPF_get_cpuinfo = 55;

inline constexpr std::uint32_t XEN_PCPU_FLAGS_ONLINE = 1;
inline constexpr std::uint32_t XEN_PCPU_FLAGS_INVALID = 2;

/// One physical CPU by number: APIC id, ACPI id, whether online.
struct XenpfPcpuInfo {
    std::uint32_t xen_cpuid;
    std::uint32_t max_present;
    std::uint32_t flags;
    std::uint32_t apic_id;
    std::uint32_t acpi_id;
};
static_assert(exact_layout<XenpfPcpuInfo, 20>);

inline constexpr std::uint32_t XENPF_get_cpu_version = 48;

struct XenpfPcpuVersion {
    std::uint32_t xen_cpuid;
    std::uint32_t max_present;
    char vendor_id[12];
    std::uint32_t family;
    std::uint32_t model;
    std::uint32_t stepping;
};
static_assert(exact_layout<XenpfPcpuVersion, 32>);

inline constexpr std::uint32_t XENPF_cpu_online = 56;
inline constexpr std::uint32_t XENPF_cpu_offline = 57;

struct XenpfCpuOl {
    std::uint32_t cpuid;
};
static_assert(exact_layout<XenpfCpuOl, 4>);

inline constexpr std::uint32_t XENPF_cpu_hotadd = 58;

struct XenpfCpuHotAdd {
    std::uint32_t apic_id;
    std::uint32_t acpi_id;
    std::uint32_t pxm;
};
static_assert(exact_layout<XenpfCpuHotAdd, 12>);

inline constexpr std::uint32_t XENPF_mem_hotadd = 59;

struct XenpfMemHotAdd {
    std::uint64_t spfn;
    std::uint64_t epfn;
    std::uint32_t pxm;
    std::uint32_t flags;
};
static_assert(exact_layout<XenpfMemHotAdd, 24>);

inline constexpr std::uint32_t XENPF_core_parking = 60;

inline constexpr std::uint32_t XEN_CORE_PARKING_SET = 1;
inline constexpr std::uint32_t XEN_CORE_PARKING_GET = 2;

struct XenpfCoreParking {
    std::uint32_t type;
    std::uint32_t idle_nums;
};
static_assert(exact_layout<XenpfCoreParking, 8>);

inline constexpr std::uint32_t XENPF_resource_op = 61;

inline constexpr std::uint32_t XEN_RESOURCE_OP_MSR_READ = 0;
inline constexpr std::uint32_t XEN_RESOURCE_OP_MSR_WRITE = 1;

struct XenpfResourceEntry {
    union {
        std::uint32_t cmd;
        std::int32_t ret;
    } u;
    std::uint32_t rsvd;
    std::uint64_t idx;
    std::uint64_t val;
};
static_assert(exact_layout<XenpfResourceEntry, 24>);

struct XenpfResourceOp {
    std::uint32_t nr_entries;
    std::uint32_t cpu;
    Handle<XenpfResourceEntry> entries;
};
static_assert(exact_layout<XenpfResourceOp, 16>);

inline constexpr std::uint32_t XENPF_get_symbol = 63;

struct XenpfSymData {
    std::uint32_t namelen;
    std::uint32_t symnum;
    Handle<char> name;
    std::uint64_t address;
    char type;
    std::uint8_t _pad[7];
};
static_assert(exact_layout<XenpfSymData, 32>);

/// Argument of HYPERVISOR_platform_op: u holds the operation's own structure.
struct PlatformOp {
    std::uint32_t cmd;
    std::uint32_t interface_version;
    union {
        XenpfSetTime64 settime;
        XenpfSetTime32 settime32;
        XenpfSetTime64 settime64;
        XenpfAddMemType add_memtype;
        XenpfDelMemType del_memtype;
        XenpfReadMemType read_memtype;
        XenpfMicrocodeUpdate microcode;
        XenpfPlatformQuirk platform_quirk;
        XenpfEfiRuntimeCall efi_runtime_call;
        XenpfFirmwareInfo firmware_info;
        XenpfEnterAcpiSleep enter_acpi_sleep;
        XenpfChangeFreq change_freq;
        XenpfGetIdleTime getidletime;
        XenpfSetProcessorPmInfo set_pminfo;
        XenpfPcpuInfo pcpu_info;
        XenpfPcpuVersion pcpu_version;
        XenpfCpuOl cpu_ol;
        XenpfCpuHotAdd cpu_add;
        XenpfMemHotAdd mem_add;
        XenpfCoreParking core_parking;
        XenpfResourceOp resource_op;
        XenpfSymData symdata;
        std::uint8_t pad[128];
    } u;
};
static_assert(layout<PlatformOp, 136>);

}  // namespace xen
