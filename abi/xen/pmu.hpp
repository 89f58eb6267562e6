// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_xenpmu_op: the virtual performance monitoring unit.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

struct PmuAmdCtxt {
    std::uint32_t counters;
    std::uint32_t ctrls;
    // followed by std::uint64_t regs[]
};
static_assert(exact_layout<PmuAmdCtxt, 8>);

struct PmuCntrPair {
    std::uint64_t counter;
    std::uint64_t control;
};
static_assert(exact_layout<PmuCntrPair, 16>);

struct PmuIntelCtxt {
    std::uint32_t fixed_counters;
    std::uint32_t arch_counters;
    std::uint64_t global_ctrl;
    std::uint64_t global_ovf_ctrl;
    std::uint64_t global_status;
    std::uint64_t fixed_ctrl;
    std::uint64_t ds_area;
    std::uint64_t pebs_enable;
    std::uint64_t debugctl;
    // followed by std::uint64_t regs[]
};
static_assert(exact_layout<PmuIntelCtxt, 64>);

struct PmuRegs {
    std::uint64_t ip;
    std::uint64_t sp;
    std::uint64_t flags;
    std::uint16_t cs;
    std::uint16_t ss;
    std::uint8_t cpl;
    std::uint8_t pad[3];
};
static_assert(exact_layout<PmuRegs, 32>);

inline constexpr std::uint32_t PMU_CACHED = 1u << 0;
inline constexpr std::uint32_t PMU_SAMPLE_USER = 1u << 1;
inline constexpr std::uint32_t PMU_SAMPLE_REAL = 1u << 2;
inline constexpr std::uint32_t PMU_SAMPLE_PV = 1u << 3;

inline constexpr std::uint32_t XENPMU_REGS_PAD_SZ = 64;
inline constexpr std::uint32_t XENPMU_CTXT_PAD_SZ = 128;

struct PmuArch {
    union {
        PmuRegs regs;
        std::uint8_t pad[64];
    } r;
    std::uint64_t pmu_flags;
    union {
        std::uint32_t lapic_lvtpc;
        std::uint64_t pad;
    } l;
    union {
        PmuAmdCtxt amd;
        PmuIntelCtxt intel;
        std::uint8_t pad[128];
    } c;
};
static_assert(layout<PmuArch, 208>);

inline constexpr std::uint32_t XENPMU_VER_MAJ = 0;
inline constexpr std::uint32_t XENPMU_VER_MIN = 1;
inline constexpr std::uint32_t XENPMU_mode_get = 0;
inline constexpr std::uint32_t XENPMU_mode_set = 1;
inline constexpr std::uint32_t XENPMU_feature_get = 2;
inline constexpr std::uint32_t XENPMU_feature_set = 3;
inline constexpr std::uint32_t XENPMU_init = 4;
inline constexpr std::uint32_t XENPMU_finish = 5;
inline constexpr std::uint32_t XENPMU_lvtpc_set = 6;
inline constexpr std::uint32_t XENPMU_flush = 7;

struct PmuParams {
    struct {
        std::uint32_t maj;
        std::uint32_t min;
    } version;
    std::uint64_t val;
    std::uint32_t vcpu;
    std::uint32_t pad;
};
static_assert(exact_layout<PmuParams, 24>);

inline constexpr std::uint32_t XENPMU_MODE_OFF = 0;
inline constexpr std::uint32_t XENPMU_MODE_SELF = 1u << 0;
inline constexpr std::uint32_t XENPMU_MODE_HV = 1u << 1;
inline constexpr std::uint32_t XENPMU_MODE_ALL = 1u << 2;
inline constexpr std::uint32_t XENPMU_FEATURE_INTEL_BTS = 1u << 0;
inline constexpr std::uint32_t XENPMU_FEATURE_IPC_ONLY = 1u << 1;
inline constexpr std::uint32_t XENPMU_FEATURE_ARCH_ONLY = 1u << 2;

struct PmuData {
    std::uint32_t vcpu_id;
    std::uint32_t pcpu_id;
    domid_t domain_id;
    std::uint8_t pad[6];
    PmuArch pmu;
};
static_assert(layout<PmuData, 224>);

}  // namespace xen
