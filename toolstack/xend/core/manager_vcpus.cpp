// SPDX-License-Identifier: Apache-2.0
// vCPUs: where they run, how many of them, what is sent to them.
#include "toolstack/xend/core/domain_nodes.hpp"
#include "toolstack/xend/core/job.hpp"

namespace xend {

using base::Errc;
using base::Outcome;

namespace {

/// DomainConfig::cpus with this list for `vcpu`.
std::string with_list(const config::DomainConfig& config, uint32_t vcpu, const std::string& cpus) {
    std::string out;
    for (uint32_t i = 0; i < config.vcpus; ++i) {
        const std::string old(config::cpus_of_vcpu(config.cpus, i));
        out += (i == 0 ? "" : ";") + (i == vcpu ? cpus : old.empty() ? "all" : old);
    }
    return out;
}

}  // namespace

Outcome<> Manager::pin_vcpu(const std::string& who, std::optional<uint32_t> vcpu, const std::string& cpus) {
    std::optional<Job> job;
    DomainView view = OTRY(operate(who, Operation::change_vcpus, job));
    if (vcpu && *vcpu >= view.info.vcpus) return base::fail(Errc::inval, "Invalid VCPU " + std::to_string(*vcpu));
    const HostState host = OTRY(ports_.hypervisor.host());
    const xenctrl::BitMap map = OTRY(config::parse_cpu_list(cpus, host.phys.cpus));
    const uint32_t first = vcpu.value_or(0), end = vcpu ? *vcpu + 1 : view.info.vcpus;
    for (uint32_t i = first; i < end; ++i) OTRY(ports_.hypervisor.set_affinity(view.ref(), base::VcpuId{i}, map));
    if (!view.record) return base::ok;
    config::DomainConfig& config = view.record->config;
    config.cpus = vcpu && config.vcpus > 1 ? with_list(config, *vcpu, cpus) : cpus;
    return ports_.records.note(*view.record);
}

Outcome<> Manager::set_vcpus(const std::string& who, uint32_t count) {
    std::optional<Job> job;
    DomainView view = OTRY(operate(who, Operation::change_vcpus, job));
    if (count == 0 || count > view.info.vcpus) {
        return base::fail(Errc::inval,
                          "Invalid number of VCPUs: domain '" + view.name + "' can have 1 to " + std::to_string(view.info.vcpus));
    }
    auto store = OTRY(stores_.lease());
    auto written = xenstore::in_transaction(*store, [&](xenstore::Transaction& tx) -> Outcome<> {
        for (uint32_t i = 0; i < view.info.vcpus; ++i) {
            OTRY(tx.write(domain_path(view.info.id) + "/cpu/" + std::to_string(i) + "/availability",
                          i < count ? "online" : "offline"));
        }
        return base::ok;
    });
    if (!written || !view.record) return written;
    const bool all = count == view.info.vcpus || count >= 64;
    view.record->config.vcpu_avail = all ? 0 : (uint64_t{1} << count) - 1;
    return ports_.records.note(*view.record);
}

Outcome<> Manager::send_trigger(const std::string& who, xenctrl::Trigger trigger, uint32_t vcpu) {
    std::optional<Job> job;
    const DomainView view = OTRY(operate(who, Operation::shutdown, job));
    if (vcpu >= view.info.vcpus) return base::fail(Errc::inval, "Invalid VCPU " + std::to_string(vcpu));
    return ports_.hypervisor.send_trigger(view.ref(), trigger, base::VcpuId{vcpu});
}

}  // namespace xend
