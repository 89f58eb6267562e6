// SPDX-License-Identifier: Apache-2.0
/// The pages through which a device model receives I/O requests.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t IOREQ_READ = 1;
inline constexpr std::uint32_t IOREQ_WRITE = 0;

inline constexpr std::uint32_t STATE_IOREQ_NONE = 0;
inline constexpr std::uint32_t STATE_IOREQ_READY = 1;
inline constexpr std::uint32_t STATE_IOREQ_INPROCESS = 2;
inline constexpr std::uint32_t STATE_IORESP_READY = 3;

inline constexpr std::uint32_t IOREQ_TYPE_PIO = 0;
inline constexpr std::uint32_t IOREQ_TYPE_COPY = 1;
inline constexpr std::uint32_t IOREQ_TYPE_PCI_CONFIG = 2;
inline constexpr std::uint32_t IOREQ_TYPE_TIMEOFFSET = 7;
inline constexpr std::uint32_t IOREQ_TYPE_INVALIDATE = 8;

/// One emulated access that a device model answers; state: STATE_IOREQ_*.
struct Ioreq {
    std::uint64_t addr;
    std::uint64_t data;
    std::uint32_t count;
    std::uint32_t size;
    std::uint32_t vp_eport;
    std::uint16_t _pad0;
    std::uint8_t state : 4;
    std::uint8_t data_is_ptr : 1;
    std::uint8_t dir : 1;
    std::uint8_t df : 1;
    std::uint8_t _pad1 : 1;
    std::uint8_t type;
};
static_assert(exact_layout<Ioreq, 32>);

struct SharedIoPage {
    Ioreq vcpu_ioreq[1];
};
static_assert(exact_layout<SharedIoPage, 32>);

struct BufIoreq {
    std::uint8_t type;
    std::uint8_t pad : 1;
    std::uint8_t dir : 1;
    std::uint8_t size : 2;
    std::uint32_t addr : 20;
    std::uint32_t data;
};
static_assert(exact_layout<BufIoreq, 8>);

inline constexpr std::uint32_t IOREQ_BUFFER_SLOT_NUM = 511;

struct BufferedIoPage {
    std::uint32_t read_pointer;
    std::uint32_t write_pointer;
    BufIoreq buf_ioreq[511];
};
static_assert(exact_layout<BufferedIoPage, 4096>);

inline constexpr std::uint32_t ACPI_PM1A_EVT_BLK_ADDRESS_V0 = 0x1f40;
inline constexpr std::uint32_t ACPI_PM1A_CNT_BLK_ADDRESS_V0 = 0x1f44;
inline constexpr std::uint32_t ACPI_PM_TMR_BLK_ADDRESS_V0 = 0x1f48;
inline constexpr std::uint32_t ACPI_GPE0_BLK_ADDRESS_V0 = 0x1f68;
inline constexpr std::uint32_t ACPI_GPE0_BLK_LEN_V0 = 0x08;
inline constexpr std::uint32_t ACPI_PM1A_EVT_BLK_ADDRESS_V1 = 0xb000;
inline constexpr std::uint32_t ACPI_PM1A_CNT_BLK_ADDRESS_V1 = 0xb004;
inline constexpr std::uint32_t ACPI_PM_TMR_BLK_ADDRESS_V1 = 0xb008;
inline constexpr std::uint32_t ACPI_GPE0_BLK_ADDRESS_V1 = 0xafe0;
inline constexpr std::uint32_t ACPI_GPE0_BLK_LEN_V1 = 0x04;
inline constexpr auto ACPI_PM1A_EVT_BLK_ADDRESS = ACPI_PM1A_EVT_BLK_ADDRESS_V0;
inline constexpr auto ACPI_PM1A_CNT_BLK_ADDRESS = ACPI_PM1A_CNT_BLK_ADDRESS_V0;
inline constexpr auto ACPI_PM_TMR_BLK_ADDRESS = ACPI_PM_TMR_BLK_ADDRESS_V0;
inline constexpr auto ACPI_GPE0_BLK_ADDRESS = ACPI_GPE0_BLK_ADDRESS_V0;
inline constexpr auto ACPI_GPE0_BLK_LEN = ACPI_GPE0_BLK_LEN_V0;

}  // namespace xen
