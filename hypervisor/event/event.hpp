// SPDX-License-Identifier: Apache-2.0
/// Event channels: the one-bit signals between domains, from the hypervisor and from interrupts.
///
/// Two guest ABIs: the two-level bitmaps in shared_info, and FIFO queues of event words (chosen by EVTCHNOP_init_control).
///
/// Locks: a port's state changes under its domain's `EventChannels::lock`; an interdomain binding changes only with the
/// locks of BOTH ends held. Hence either lock keeps a binding in place, and a sender needs only its own.
#pragma once

#include <atomic>
#include <cstdint>

#include "abi/xen/event_channel.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {

enum class PortState : uint8_t { free, reserved, unbound, interdomain, pirq, virq, ipi };

/// One port. Objects never move and live until events_destroy().
struct EventPort {
    PortState state = PortState::free;
    std::atomic<uint8_t> priority{xen::EVTCHN_FIFO_PRIORITY_DEFAULT};
    uint8_t queued_priority = 0;  ///< FIFO: queue it was last linked on; fifo lock
    bool parked = false;          ///< FIFO: became pending before its event word existed; fifo lock
    std::atomic<uint32_t> notify_vcpu{0};
    uint32_t number = 0;
    uint32_t queued_vcpu = 0;  ///< FIFO: vCPU whose queue it was last linked on; fifo lock
    union {
        struct {
            DomId remote_dom;
        } unbound;
        struct {
            Domain* domain;
            EventPort* port;
        } remote;
        uint32_t pirq;
        uint32_t virq;
    };
    EventPort() : remote{nullptr, nullptr} {}
};
static_assert(sizeof(EventPort) == 32);

struct FifoState;  // event/fifo.cpp

/// Ports that are made together, and which of them are free. A free port is ready to be given out, or lingers: a FIFO guest
/// has not taken its word from a queue yet, so that its number cannot mean something else.
struct PortBucket {
    static constexpr unsigned size = 64;
    EventPort* ports = nullptr;
    uint64_t ready[size / 64] = {};
    uint64_t lingering[size / 64] = {};
};

/// One bit for each bucket.
struct BucketSet {
    static constexpr unsigned capacity = xen::EVTCHN_FIFO_NR_CHANNELS / PortBucket::size;
    uint64_t words[capacity / 64] = {};
};

struct EventChannels {
    static constexpr unsigned pirq_chunk = 1024;
    static constexpr unsigned pirq_chunks = 16;

    Spinlock lock{Rank::evtchn};
    PortBucket* buckets GUARDED_BY(lock) = nullptr;  ///< grows; the ports themselves stay where they are
    uint32_t bucket_capacity GUARDED_BY(lock) = 0;
    uint32_t bucket_count GUARDED_BY(lock) = 0;
    BucketSet ready GUARDED_BY(lock);             ///< buckets with a port to give out
    BucketSet lingering GUARDED_BY(lock);         ///< buckets with a port that lingers
    uint32_t lingerers GUARDED_BY(lock) = 0;      ///< ports that linger
    uint32_t linger_cursor GUARDED_BY(lock) = 0;  ///< number after the lingering port that was looked at last
    uint32_t close_cursor GUARDED_BY(lock) = 1;   ///< where closing all ports has come to
    uint32_t in_use GUARDED_BY(lock) = 0;
    uint64_t words_looked_at GUARDED_BY(lock) = 0;            ///< event words read to find free ports, ever
    std::atomic<FifoState*> fifo{nullptr};                    ///< null: two-level ABI
    uint32_t* pirq_ports[pirq_chunks] GUARDED_BY(lock) = {};  ///< pirq -> port
};

inline constexpr uint32_t max_pirqs = EventChannels::pirq_chunk * EventChannels::pirq_chunks;

// -- life -----------------------------------------------------------------------------------------------------------
/// Gives the domain its event channels. Errors: nomem.
Status events_create(Domain& d);
/// Closes every port and tells the peers; the domain is dying. Errors: restart, call again.
Status events_relinquish(Domain& d);
/// Frees all memory (last reference to the domain is gone, or creation failed). Closes what is still open.
void events_destroy(Domain& d);

// -- operations (hypercall/event_channel.cpp, boot/dom0, domctl) -------------------------------------------------------
/// A port of `d` to which `remote` may bind. Errors: nospc, nomem, srch when dying.
Result<Port> event_alloc_unbound(Domain& d, DomId remote);
/// Makes a port of `d` and connects it to `remote`'s unbound port; it is pending at once. Errors: inval, nospc, nomem.
Result<Port> event_bind_interdomain(Domain& d, Domain& remote, Port remote_port);
/// Errors: inval, noent (no such vCPU), exist, nospc, nomem.
Result<Port> event_bind_virq(Domain& d, uint32_t virq, VcpuId vcpu);
Result<Port> event_bind_ipi(Domain& d, VcpuId vcpu);
/// Errors: perm (not mapped for the domain, or not permitted), inval, exist, busy, nospc, nomem.
Result<Port> event_bind_pirq(Domain& d, uint32_t pirq);
/// Errors: inval, restart (its peer keeps changing the binding: call again).
Status event_close(Domain& d, Port port);
/// Errors: inval.
Status event_send(Domain& d, Port port);
Status event_bind_vcpu(Domain& d, Port port, VcpuId vcpu);
Status event_unmask(Domain& d, Port port);
/// Closes all ports and goes back to the two-level ABI. Errors: restart.
Status event_reset(Domain& d);
/// Fills everything but `dom` and `port`. Errors: inval.
Status event_status(Domain& d, Port port, xen::EvtchnStatus& out);
// FIFO. Errors: inval, noent, nosys, nospc, nomem.
Status event_init_control(Domain& d, VcpuId vcpu, Gfn page, uint32_t offset);
Status event_expand_array(Domain& d, Gfn page);
Status event_set_priority(Domain& d, Port port, uint32_t priority);

// -- sources inside the hypervisor ----------------------------------------------------------------------------------
// Locks: callers hold nothing of Rank::evtchn or below. Any CPU.
/// Raises a virq of this vCPU (VIRQ_TIMER, VIRQ_DEBUG...); nothing when it is not bound.
void send_virq(Vcpu& v, uint32_t virq);
/// Raises a global virq (VIRQ_CONSOLE, VIRQ_DOM_EXC...) of `to`.
void send_global_virq(Domain& to, uint32_t virq);
/// The same to whoever handles that virq: dom0, unless set_virq_handler() gave it away.
void send_global_virq(uint32_t virq);
/// XEN_DOMCTL_set_virq_handler; the handler keeps a reference until it dies. Errors: inval.
Status set_virq_handler(Domain& d, uint32_t virq);
bool virq_is_global(uint32_t virq);

// -- queries ---------------------------------------------------------------------------------------------------------
/// True when the port's pending flag is set (SCHEDOP_poll). Errors: inval for a port that is not open.
Result<bool> event_port_pending(Domain& d, Port port);
/// Visits the pages of the guest that the FIFO ABI holds, each with a reference and a writable type.
void event_each_page(Domain& d, void (*visit)(void* context, Mfn m), void* context);
/// Number of open ports.
uint32_t events_in_use(Domain& d);

}  // namespace hv
