// SPDX-License-Identifier: Apache-2.0
/// HVM parameters (HVMOP_set_param, HVMOP_get_param).
#pragma once

#include "abi/xen/types.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t HVM_PARAM_PAE_ENABLED = 4;
inline constexpr std::uint32_t HVM_PARAM_DM_DOMAIN = 13;
inline constexpr std::uint32_t HVM_PARAM_MEMORY_EVENT_CR0 = 20;
inline constexpr std::uint32_t HVM_PARAM_MEMORY_EVENT_CR3 = 21;
inline constexpr std::uint32_t HVM_PARAM_MEMORY_EVENT_CR4 = 22;
inline constexpr std::uint32_t HVM_PARAM_MEMORY_EVENT_INT3 = 23;
inline constexpr std::uint32_t HVM_PARAM_NESTEDHVM = 24;
inline constexpr std::uint32_t HVM_PARAM_MEMORY_EVENT_SINGLE_STEP = 25;
inline constexpr std::uint32_t HVM_PARAM_BUFIOREQ_EVTCHN = 26;
inline constexpr std::uint32_t HVM_PARAM_MEMORY_EVENT_MSR = 30;
inline constexpr std::uint32_t HVM_PARAM_CALLBACK_IRQ = 0;
inline constexpr std::uint64_t HVM_PARAM_CALLBACK_IRQ_TYPE_MASK = 0xff00000000000000;
inline constexpr std::uint32_t HVM_PARAM_CALLBACK_TYPE_GSI = 0;
inline constexpr std::uint32_t HVM_PARAM_CALLBACK_TYPE_PCI_INTX = 1;
inline constexpr std::uint32_t HVM_PARAM_CALLBACK_TYPE_VECTOR = 2;
inline constexpr std::uint32_t HVM_PARAM_STORE_PFN = 1;
inline constexpr std::uint32_t HVM_PARAM_STORE_EVTCHN = 2;
inline constexpr std::uint32_t HVM_PARAM_IOREQ_PFN = 5;
inline constexpr std::uint32_t HVM_PARAM_BUFIOREQ_PFN = 6;
inline constexpr std::uint32_t HVM_PARAM_VIRIDIAN = 9;

inline constexpr std::uint32_t HVMPV_base_freq = 1u << 0;
inline constexpr std::uint32_t HVMPV_no_freq = 1u << 1;
inline constexpr std::uint32_t HVMPV_time_ref_count = 1u << 2;
inline constexpr std::uint32_t HVMPV_reference_tsc = 1u << 3;
inline constexpr std::uint32_t HVMPV_hcall_remote_tlb_flush = 1u << 4;
inline constexpr std::uint32_t HVMPV_apic_assist = 1u << 5;
inline constexpr std::uint32_t HVMPV_crash_ctl = 1u << 6;
inline constexpr std::uint32_t HVMPV_synic = 1u << 7;
inline constexpr std::uint32_t HVMPV_stimer = 1u << 8;
inline constexpr std::uint32_t HVMPV_hcall_ipi = 1u << 9;
inline constexpr std::uint32_t HVMPV_ex_processor_masks = 1u << 10;
inline constexpr std::uint32_t HVMPV_no_vp_limit = 1u << 11;
inline constexpr std::uint32_t HVMPV_cpu_hotplug = 1u << 12;
inline constexpr std::uint32_t HVMPV_feature_mask = 0x1fff;

inline constexpr std::uint32_t HVM_PARAM_TIMER_MODE = 10;

inline constexpr std::uint32_t HVMPTM_delay_for_missed_ticks = 0;
inline constexpr std::uint32_t HVMPTM_no_delay_for_missed_ticks = 1;
inline constexpr std::uint32_t HVMPTM_no_missed_ticks_pending = 2;
inline constexpr std::uint32_t HVMPTM_one_missed_tick_pending = 3;

inline constexpr std::uint32_t HVM_PARAM_HPET_ENABLED = 11;
inline constexpr std::uint32_t HVM_PARAM_IDENT_PT = 12;
inline constexpr std::uint32_t HVM_PARAM_ACPI_S_STATE = 14;
inline constexpr std::uint32_t HVM_PARAM_VM86_TSS = 15;
inline constexpr std::uint32_t HVM_PARAM_VPT_ALIGN = 16;
inline constexpr std::uint32_t HVM_PARAM_CONSOLE_PFN = 17;
inline constexpr std::uint32_t HVM_PARAM_CONSOLE_EVTCHN = 18;
inline constexpr std::uint32_t HVM_PARAM_ACPI_IOPORTS_LOCATION = 19;
inline constexpr std::uint32_t HVM_PARAM_PAGING_RING_PFN = 27;
inline constexpr std::uint32_t HVM_PARAM_MONITOR_RING_PFN = 28;
inline constexpr std::uint32_t HVM_PARAM_SHARING_RING_PFN = 29;
inline constexpr std::uint32_t HVM_PARAM_TRIPLE_FAULT_REASON = 31;
inline constexpr std::uint32_t HVM_PARAM_IOREQ_SERVER_PFN = 32;
inline constexpr std::uint32_t HVM_PARAM_NR_IOREQ_SERVER_PAGES = 33;
inline constexpr std::uint32_t HVM_PARAM_VM_GENERATION_ID_ADDR = 34;
inline constexpr std::uint32_t HVM_PARAM_ALTP2M = 35;

inline constexpr std::uint32_t XEN_ALTP2M_disabled = 0;
inline constexpr std::uint32_t XEN_ALTP2M_mixed = 1;
inline constexpr std::uint32_t XEN_ALTP2M_external = 2;
inline constexpr std::uint32_t XEN_ALTP2M_limited = 3;

inline constexpr std::uint32_t HVM_PARAM_X87_FIP_WIDTH = 36;
inline constexpr std::uint32_t HVM_PARAM_VM86_TSS_SIZED = 37;
inline constexpr std::uint32_t HVM_PARAM_MCA_CAP = 38;

inline constexpr std::uint64_t XEN_HVM_MCA_CAP_LMCE = 1;
inline constexpr auto XEN_HVM_MCA_CAP_MASK = XEN_HVM_MCA_CAP_LMCE;

inline constexpr std::uint32_t HVM_NR_PARAMS = 39;

}  // namespace xen
