// SPDX-License-Identifier: Apache-2.0
/// Event channels: operations, and the FIFO event queue words.
#pragma once

#include "abi/xen/basic.hpp"

#include <cstddef>
#include <cstdint>

namespace xen {

inline constexpr std::uint32_t EVTCHNOP_bind_interdomain = 0;
inline constexpr std::uint32_t EVTCHNOP_bind_virq = 1;
inline constexpr std::uint32_t EVTCHNOP_bind_pirq = 2;
inline constexpr std::uint32_t EVTCHNOP_close = 3;
inline constexpr std::uint32_t EVTCHNOP_send = 4;
inline constexpr std::uint32_t EVTCHNOP_status = 5;
inline constexpr std::uint32_t EVTCHNOP_alloc_unbound = 6;
inline constexpr std::uint32_t EVTCHNOP_bind_ipi = 7;
inline constexpr std::uint32_t EVTCHNOP_bind_vcpu = 8;
inline constexpr std::uint32_t EVTCHNOP_unmask = 9;
inline constexpr std::uint32_t EVTCHNOP_reset = 10;
inline constexpr std::uint32_t EVTCHNOP_init_control = 11;
inline constexpr std::uint32_t EVTCHNOP_expand_array = 12;
inline constexpr std::uint32_t EVTCHNOP_set_priority = 13;

/// Makes a port of `dom` that remote_dom may bind to.
struct EvtchnAllocUnbound {
    domid_t dom;
    domid_t remote_dom;
    evtchn_port_t port;
};
static_assert(exact_layout<EvtchnAllocUnbound, 8>);

/// Connects a new local port to remote_port of remote_dom.
struct EvtchnBindInterdomain {
    domid_t remote_dom;
    std::uint16_t _pad;
    evtchn_port_t remote_port;
    evtchn_port_t local_port;
};
static_assert(exact_layout<EvtchnBindInterdomain, 12>);

struct EvtchnBindVirq {
    std::uint32_t virq;
    std::uint32_t vcpu;
    evtchn_port_t port;
};
static_assert(exact_layout<EvtchnBindVirq, 12>);

inline constexpr std::uint32_t BIND_PIRQ__WILL_SHARE = 1;

struct EvtchnBindPirq {
    std::uint32_t pirq;
    std::uint32_t flags;
    evtchn_port_t port;
};
static_assert(exact_layout<EvtchnBindPirq, 12>);

struct EvtchnBindIpi {
    std::uint32_t vcpu;
    evtchn_port_t port;
};
static_assert(exact_layout<EvtchnBindIpi, 8>);

struct EvtchnClose {
    evtchn_port_t port;
};
static_assert(exact_layout<EvtchnClose, 4>);

struct EvtchnSend {
    evtchn_port_t port;
};
static_assert(exact_layout<EvtchnSend, 4>);

inline constexpr std::uint32_t EVTCHNSTAT_closed = 0;
inline constexpr std::uint32_t EVTCHNSTAT_unbound = 1;
inline constexpr std::uint32_t EVTCHNSTAT_interdomain = 2;
inline constexpr std::uint32_t EVTCHNSTAT_pirq = 3;
inline constexpr std::uint32_t EVTCHNSTAT_virq = 4;
inline constexpr std::uint32_t EVTCHNSTAT_ipi = 5;

/// What a port is: EVTCHNSTAT_*, and its peer.
struct EvtchnStatus {
    domid_t dom;
    std::uint16_t _pad;
    evtchn_port_t port;
    std::uint32_t status;
    std::uint32_t vcpu;
    union {
        struct {
            domid_t dom;
        } unbound;
        struct {
            domid_t dom;
            std::uint16_t _pad;
            evtchn_port_t port;
        } interdomain;
        std::uint32_t pirq;
        std::uint32_t virq;
    } u;
};
static_assert(layout<EvtchnStatus, 24>);

struct EvtchnBindVcpu {
    evtchn_port_t port;
    std::uint32_t vcpu;
};
static_assert(exact_layout<EvtchnBindVcpu, 8>);

struct EvtchnUnmask {
    evtchn_port_t port;
};
static_assert(exact_layout<EvtchnUnmask, 4>);

struct EvtchnReset {
    domid_t dom;
};
static_assert(exact_layout<EvtchnReset, 2>);

/// Switches a vCPU to the FIFO event queues; control_gfn holds the EvtchnFifoControlBlock.
struct EvtchnInitControl {
    std::uint64_t control_gfn;
    std::uint32_t offset;
    std::uint32_t vcpu;
    std::uint8_t link_bits;
    std::uint8_t _pad[7];
};
static_assert(exact_layout<EvtchnInitControl, 24>);

/// Adds one page of event words.
struct EvtchnExpandArray {
    std::uint64_t array_gfn;
};
static_assert(exact_layout<EvtchnExpandArray, 8>);

struct EvtchnSetPriority {
    evtchn_port_t port;
    std::uint32_t priority;
};
static_assert(exact_layout<EvtchnSetPriority, 8>);

struct EvtchnOp {
    std::uint32_t cmd;
    union {
        EvtchnAllocUnbound alloc_unbound;
        EvtchnBindInterdomain bind_interdomain;
        EvtchnBindVirq bind_virq;
        EvtchnBindPirq bind_pirq;
        EvtchnBindIpi bind_ipi;
        EvtchnClose close;
        EvtchnSend send;
        EvtchnStatus status;
        EvtchnBindVcpu bind_vcpu;
        EvtchnUnmask unmask;
    } u;
};
static_assert(layout<EvtchnOp, 28>);

inline constexpr std::uint64_t EVTCHN_2L_NR_CHANNELS = 0x1000;
inline constexpr std::uint32_t EVTCHN_FIFO_PRIORITY_MAX = 0;
inline constexpr std::uint32_t EVTCHN_FIFO_PRIORITY_DEFAULT = 7;
inline constexpr std::uint32_t EVTCHN_FIFO_PRIORITY_MIN = 15;
inline constexpr std::uint32_t EVTCHN_FIFO_MAX_QUEUES = 16;
inline constexpr std::uint32_t EVTCHN_FIFO_PENDING = 31;
inline constexpr std::uint32_t EVTCHN_FIFO_MASKED = 30;
inline constexpr std::uint32_t EVTCHN_FIFO_LINKED = 29;
inline constexpr std::uint32_t EVTCHN_FIFO_BUSY = 28;
inline constexpr std::uint32_t EVTCHN_FIFO_LINK_BITS = 17;
inline constexpr std::uint32_t EVTCHN_FIFO_LINK_MASK = 0x1ffff;
inline constexpr std::uint32_t EVTCHN_FIFO_NR_CHANNELS = 1u << 17;

/// Per-vCPU heads of the sixteen FIFO queues; ready has one bit per queue.
struct EvtchnFifoControlBlock {
    std::uint32_t ready;
    std::uint32_t _rsvd;
    std::uint32_t head[16];
};
static_assert(exact_layout<EvtchnFifoControlBlock, 72>);

}  // namespace xen
