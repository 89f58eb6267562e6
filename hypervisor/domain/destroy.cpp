// SPDX-License-Identifier: Apache-2.0
/// The end of a domain, in two acts: domain_kill() takes everything it does or holds of others away and lets go of its
/// pages; free_domain() frees the structures when nobody refers to the domain or a page of it any more.
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/domain/dirty_log.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/domain/internal.hpp"
#include "hypervisor/domain/watchdog.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "hypervisor/trace/trace.hpp"

namespace hv {

namespace domain {
namespace {

enum Stage : uint32_t { stage_stop, stage_events, stage_grants, stage_tables, stage_pages, stage_done };

void stop(Domain& d) {
    bool first = false;
    {
        Guard g(d.page_list_lock);  // no page is assigned afterwards
        DyingState alive = DyingState::alive;
        first = d.dying.compare_exchange_strong(alive, DyingState::dying, std::memory_order_acq_rel);
    }
    if (!first) return;
    domain_pause(d);
    domain_move(d, sched::pool0());  // what is left of it keeps no pool
    domain_console_flush(d);
    drop_claim(d);
    domain_watchdogs_destroy(d);
    for (uint32_t i = 0; i < d.limits.max_vcpus; ++i) {
        Vcpu* v = d.vcpus[i];
        if (!v) continue;
        timer::stop(v->singleshot);
        timer::stop(v->periodic);
        timer::stop(v->poll_timer);
        v->runstate_guest = 0;
        v->time_info_guest.store(0, std::memory_order_relaxed);
    }
}

/// Guest pages that hold a vcpu_info.
void let_go_of_infos(Domain& d) {
    for (uint32_t i = 0; i < d.limits.max_vcpus; ++i) {
        Vcpu* v = d.vcpus[i];
        if (!v || !v->info_page) continue;
        v->info.store(&v->private_info, std::memory_order_release);
        v->info_page.reset();
    }
}

Status do_stage(Domain& d, uint32_t stage) {
    switch (stage) {
        case stage_stop: stop(d); return ok;
        case stage_events:
            TRY(events_relinquish(d));
            pirqs_release(d.pirqs);
            return ok;
        case stage_grants:
            TRY(grants_relinquish(d));
            let_go_of_infos(d);
            return ok;
        case stage_tables: TRY(dirty_log_stop(d)); return d.kind.relinquish(d);
        default: return release_pages(d);
    }
}

}  // namespace
}  // namespace domain

Status domain_kill(Domain& d) {
    if (&d == dom0 || d.kind.max_vcpus == 0) return Err{Errc::inval};
    if (d.dying.load(std::memory_order_acquire) == DyingState::dead) return ok;
    while (d.relinquish_stage < domain::stage_done) {
        TRY(domain::do_stage(d, d.relinquish_stage));
        ++d.relinquish_stage;
        if (arch::preempt_wanted() && d.relinquish_stage < domain::stage_done) return Err{Errc::restart};
    }
    d.dying.store(DyingState::dead, std::memory_order_release);
    domain::unref(d);
    send_global_virq(xen::VIRQ_DOM_EXC);
    return ok;
}

namespace domain {

void free_vcpu(Vcpu& v) {
    timer::stop(v.singleshot);
    timer::stop(v.periodic);
    timer::stop(v.poll_timer);
    if (v.sched_data) sched::policy_of(v).remove(v);
    v.domain.kind.destroy_vcpu(v);
    if (v.state.fpu) heap::free_bytes(v.state.fpu, cpu_features.xsave_size);
    destroy(&v);
}

void free_shared_info(Domain& d) {
    xen::SharedInfo* page = std::exchange(d.shared, nullptr);
    if (page && unshare_hyp_page(page)) heap::free_page(page);
}

void free_domain(Domain& d) {
    trace::event(xen::TRC_DOM0_DOM_REM, uint32_t{d.id.raw});
    trace::event(xen::TRC_SCHED_DOM_REM, uint32_t{d.id.raw});
    domain_watchdogs_destroy(d);
    pirqs_destroy(d.pirqs);  // first: an interrupt on its way looks for its event channel
    if (d.events) events_destroy(d);
    if (d.grants) grants_destroy(d);
    for (uint32_t i = 0; d.vcpus && i < d.limits.max_vcpus; ++i)
        if (d.vcpus[i]) free_vcpu(*d.vcpus[i]);
    d.kind.destroy(d);
    free_domain_policy(d);
    free_shared_info(d);
    {
        Guard g(d.lock);
        destroy_array(d.memory_map, d.memory_map_entries);
    }
    if (d.vcpus) destroy_array(d.vcpus, d.limits.max_vcpus);
    unpublish(d);
    destroy(&d);
}

}  // namespace domain
}  // namespace hv
