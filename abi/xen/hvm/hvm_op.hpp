// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_hvm_op.
#pragma once

#include "abi/xen/basic.hpp"
#include "abi/xen/event_channel.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t HVMOP_set_param = 0;
inline constexpr std::uint32_t HVMOP_get_param = 1;

/// One HVM parameter: index HVM_PARAM_*.
struct HvmParam {
    domid_t domid;
    std::uint16_t pad;
    std::uint32_t index;
    std::uint64_t value;
};
static_assert(exact_layout<HvmParam, 16>);

struct HvmAltp2mSuppressVe {
    std::uint16_t view;
    std::uint8_t suppress_ve;
    std::uint8_t pad1;
    std::uint32_t pad2;
    std::uint64_t gfn;
};
static_assert(exact_layout<HvmAltp2mSuppressVe, 16>);

struct HvmAltp2mSuppressVeMulti {
    std::uint16_t view;
    std::uint8_t suppress_ve;
    std::uint8_t pad1;
    std::int32_t first_error;
    std::uint64_t first_gfn;
    std::uint64_t last_gfn;
    std::uint64_t first_error_gfn;
};
static_assert(exact_layout<HvmAltp2mSuppressVeMulti, 32>);

inline constexpr std::uint32_t HVMOP_flush_tlbs = 5;

inline constexpr std::uint32_t HVMMEM_ram_rw = 0;
inline constexpr std::uint32_t HVMMEM_ram_ro = 1;
inline constexpr std::uint32_t HVMMEM_mmio_dm = 2;
inline constexpr std::uint32_t HVMMEM_unused = 3;
inline constexpr std::uint32_t HVMMEM_ioreq_server = 4;

inline constexpr std::uint32_t HVMOP_pagetable_dying = 9;

struct HvmPagetableDying {
    domid_t domid;
    std::uint16_t pad[3];
    std::uint64_t gpa;
};
static_assert(exact_layout<HvmPagetableDying, 16>);

inline constexpr std::uint32_t HVMOP_get_time = 10;

struct HvmGetTime {
    std::uint64_t now;
};
static_assert(exact_layout<HvmGetTime, 8>);

inline constexpr std::uint32_t HVMOP_xentrace = 11;

struct HvmXentrace {
    std::uint16_t event;
    std::uint16_t extra_bytes;
    std::uint8_t extra[28];
};
static_assert(exact_layout<HvmXentrace, 32>);

inline constexpr std::uint32_t HVMOP_set_mem_access = 12;
inline constexpr std::uint32_t HVMOP_get_mem_access = 13;
inline constexpr std::uint32_t HVMOP_get_mem_type = 15;

struct HvmGetMemType {
    domid_t domid;
    std::uint16_t mem_type;
    std::uint16_t pad[2];
    std::uint64_t pfn;
};
static_assert(exact_layout<HvmGetMemType, 16>);

inline constexpr std::uint32_t HVM_IOREQSRV_BUFIOREQ_OFF = 0;
inline constexpr std::uint32_t HVM_IOREQSRV_BUFIOREQ_LEGACY = 1;
inline constexpr std::uint32_t HVM_IOREQSRV_BUFIOREQ_ATOMIC = 2;

inline constexpr std::uint32_t HVMOP_set_evtchn_upcall_vector = 23;

struct HvmEvtchnUpcallVector {
    std::uint32_t vcpu;
    std::uint8_t vector;
    std::uint8_t _pad[3];
};
static_assert(exact_layout<HvmEvtchnUpcallVector, 8>);

inline constexpr std::uint32_t HVMOP_guest_request_vm_event = 24;
inline constexpr std::uint32_t HVMOP_altp2m = 25;
inline constexpr std::uint32_t HVMOP_ALTP2M_INTERFACE_VERSION = 0x00000001;

struct HvmAltp2mDomainState {
    std::uint8_t state;
};
static_assert(exact_layout<HvmAltp2mDomainState, 1>);

struct HvmAltp2mVcpuEnableNotify {
    std::uint32_t vcpu_id;
    std::uint32_t pad;
    std::uint64_t gfn;
};
static_assert(exact_layout<HvmAltp2mVcpuEnableNotify, 16>);

struct HvmAltp2mVcpuDisableNotify {
    std::uint32_t vcpu_id;
};
static_assert(exact_layout<HvmAltp2mVcpuDisableNotify, 4>);

struct HvmAltp2mView {
    std::uint16_t view;
    std::uint16_t hvmmem_default_access;
};
static_assert(exact_layout<HvmAltp2mView, 4>);

struct HvmAltp2mMemAccess {
    std::uint16_t view;
    std::uint16_t access;
    std::uint32_t pad;
    std::uint64_t gfn;
};
static_assert(exact_layout<HvmAltp2mMemAccess, 16>);

struct HvmAltp2mSetMemAccessMulti {
    std::uint16_t view;
    std::uint16_t pad;
    std::uint32_t nr;
    std::uint64_t opaque;
    Handle<const std::uint64_t> pfn_list;
    Handle<const std::uint8_t> access_list;
};
static_assert(exact_layout<HvmAltp2mSetMemAccessMulti, 32>);

struct HvmAltp2mChangeGfn {
    std::uint16_t view;
    std::uint16_t pad1;
    std::uint32_t pad2;
    std::uint64_t old_gfn;
    std::uint64_t new_gfn;
};
static_assert(exact_layout<HvmAltp2mChangeGfn, 24>);

struct HvmAltp2mGetVcpuP2mIdx {
    std::uint32_t vcpu_id;
    std::uint16_t altp2m_idx;
    std::uint16_t _pad;
};
static_assert(exact_layout<HvmAltp2mGetVcpuP2mIdx, 8>);

struct HvmAltp2mSetVisibility {
    std::uint16_t altp2m_idx;
    std::uint8_t visible;
    std::uint8_t pad;
};
static_assert(exact_layout<HvmAltp2mSetVisibility, 4>);

inline constexpr std::uint32_t HVMOP_altp2m_get_domain_state = 1;
inline constexpr std::uint32_t HVMOP_altp2m_set_domain_state = 2;
inline constexpr std::uint32_t HVMOP_altp2m_vcpu_enable_notify = 3;
inline constexpr std::uint32_t HVMOP_altp2m_create_p2m = 4;
inline constexpr std::uint32_t HVMOP_altp2m_destroy_p2m = 5;
inline constexpr std::uint32_t HVMOP_altp2m_switch_p2m = 6;
inline constexpr std::uint32_t HVMOP_altp2m_set_mem_access = 7;
inline constexpr std::uint32_t HVMOP_altp2m_change_gfn = 8;
inline constexpr std::uint32_t HVMOP_altp2m_set_mem_access_multi = 9;
inline constexpr std::uint32_t HVMOP_altp2m_set_suppress_ve = 10;
inline constexpr std::uint32_t HVMOP_altp2m_get_suppress_ve = 11;
inline constexpr std::uint32_t HVMOP_altp2m_get_mem_access = 12;
inline constexpr std::uint32_t HVMOP_altp2m_vcpu_disable_notify = 13;
inline constexpr std::uint32_t HVMOP_altp2m_get_p2m_idx = 14;
inline constexpr std::uint32_t HVMOP_altp2m_set_suppress_ve_multi = 15;
inline constexpr std::uint32_t HVMOP_altp2m_set_visibility = 16;

struct HvmAltp2mOp {
    std::uint32_t version;
    std::uint32_t cmd;
    domid_t domain;
    std::uint16_t pad1;
    std::uint32_t pad2;
    union {
        HvmAltp2mDomainState domain_state;
        HvmAltp2mVcpuEnableNotify enable_notify;
        HvmAltp2mView view;
        HvmAltp2mMemAccess mem_access;
        HvmAltp2mChangeGfn change_gfn;
        HvmAltp2mSetMemAccessMulti set_mem_access_multi;
        HvmAltp2mSuppressVe suppress_ve;
        HvmAltp2mSuppressVeMulti suppress_ve_multi;
        HvmAltp2mVcpuDisableNotify disable_notify;
        HvmAltp2mGetVcpuP2mIdx get_vcpu_p2m_idx;
        HvmAltp2mSetVisibility set_visibility;
        std::uint8_t pad[64];
    } u;
};
static_assert(layout<HvmAltp2mOp, 80>);

}  // namespace xen
