// SPDX-License-Identifier: Apache-2.0
// Virtual networks: kept in a table of their own, made and taken away by the script `vnet`. The table says first what is about to be
// done; who gets one is decided under the lock of claims, and scripts run without it.
#include <algorithm>

#include "toolstack/service/caught.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/xend/core/job.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using proto::Sxp;
using service::log;
using service::LogLevel;

namespace {

std::string tag_of(const Vnet& vnet) { return "vnet-" + vnet.id.text(); }

base::Failure no_vnet(const std::string& id) {
    return base::fail(Errc::noent, "Vnet '" + id.substr(0, 64) + "' does not exist.");
}

/// What two networks of one host cannot both have; empty: nothing. The same number is possible at another port.
std::string clash(const Vnet& a, const Vnet& b) {
    if (a.bridge == b.bridge || a.bridge == b.vnetif) return "the name " + a.bridge;
    if (a.vnetif == b.vnetif || a.vnetif == b.bridge) return "the name " + a.vnetif;
    if (a.vni == b.vni && a.port == b.port) return "the VXLAN number " + std::to_string(a.vni);
    return {};
}

bool is_on(const config::Vif& vif, const Vnet& vnet) { return vif.vnet == vnet.id.text() || vif.bridge == vnet.bridge; }

}  // namespace

Outcome<std::vector<KeptVnet>> Manager::kept_vnets() {
    if (ports_.vnets == nullptr) return std::vector<KeptVnet>{};
    return ports_.vnets->load();
}

Outcome<std::vector<Vnet>> Manager::vnets() {
    std::vector<Vnet> out;
    for (KeptVnet& one : OTRY(kept_vnets())) {
        if (one.step == KeptVnet::Step::kept) out.push_back(std::move(one.vnet));
    }
    return out;
}

Outcome<Vnet> Manager::find_vnet(const std::string& id) {
    const auto wanted = config::VnetId::parse(id);
    if (!wanted) return base::fail(Errc::inval, "'" + id.substr(0, 64) + "' " + wanted.failure().text);
    for (Vnet& vnet : OTRY(vnets())) {
        if (vnet.id == *wanted) return std::move(vnet);
    }
    return no_vnet(id);
}

Outcome<> Manager::run_vnet_script(const Vnet& vnet, const char* command) {
    ScriptCall call;
    call.path = ports_.settings.script_path("vnet");
    call.arguments = vnet.words();
    call.arguments.insert(call.arguments.begin(), command);
    call.timeout = ports_.settings.hotplug_timeout;
    call.tag = tag_of(vnet);
    std::string said;
    call.output = &said;
    const auto ran = ports_.scripts.run(call);
    if (ran) return base::ok;
    log(LogLevel::error, ran.failure().text);
    // The script's last line says why, where it has one.
    const size_t at = said.rfind("vnet: ");
    if (at == std::string::npos) return ran;
    return base::fail(ran.failure().code, said.substr(at, said.find('\n', at) - at).substr(0, 500));
}

Outcome<Vnet> Manager::create_vnet(const Sxp& description) {
    if (ports_.vnets == nullptr) return base::fail(Errc::opnotsupp, "This xend keeps no vnets");
    const Vnet vnet = OTRY(read_vnet(description));
    const std::lock_guard changing(vnets_mutex_);
    finish_vnets();
    {
        const std::lock_guard claiming(claims_mutex_);
        for (const KeptVnet& other : OTRY(kept_vnets())) {
            if (other.vnet.id == vnet.id) return base::fail(Errc::exist, "Vnet '" + vnet.id.text() + "' already exists.");
            if (const std::string what = clash(vnet, other.vnet); !what.empty())
                return base::fail(Errc::exist,
                                  "Vnet '" + vnet.id.text() + "': " + what + " is that of vnet '" + other.vnet.id.text() + "'");
        }
        OTRY(ports_.vnets->save({vnet, KeptVnet::Step::making}));
    }
    auto made = service::caught([&] { return run_vnet_script(vnet, "start"); });
    if (made) made = service::caught([&] { return ports_.vnets->save({vnet, KeptVnet::Step::kept}); });
    if (!made) {
        auto undone = undo_vnet(vnet);
        if (!undone) log(LogLevel::error, undone.failure().text);
        return std::move(made).take_failure();
    }
    log(LogLevel::info, "vnet '" + vnet.id.text() + "' is made: bridge " + vnet.bridge);
    return vnet;
}

/// Undoes what an earlier xend was about, as far as that can be done now. The caller holds vnets_mutex_, so there is no other one.
void Manager::finish_vnets() {
    const auto all = kept_vnets();
    if (!all) return log(LogLevel::error, all.failure().text);
    for (const KeptVnet& one : *all) {
        const auto undone = one.step == KeptVnet::Step::kept ? Outcome<>(base::ok) : undo_vnet(one.vnet);
        if (!undone) log(LogLevel::error, "vnet '" + one.vnet.id.text() + "': " + undone.failure().text);
    }
}

/// Nothing stays of it, neither here nor in the table.
Outcome<> Manager::undo_vnet(const Vnet& vnet) {
    OTRY(run_vnet_script(vnet, "stop"));
    return ports_.vnets->remove(vnet.id);
}

/// Errors: busy, when a domain has a card on it: one that is there, that is suspended, or that xend makes just now.
Outcome<> Manager::check_vnet_unused(const Vnet& vnet) {
    for (const RecordPtr& record : OTRY(holders())) {
        if (record->state == RecordState::failed) continue;
        const auto& vifs = record->config.vifs;
        if (std::any_of(vifs.begin(), vifs.end(), [&](const config::Vif& vif) { return is_on(vif, vnet); }))
            return base::fail(Errc::busy, "Vnet '" + vnet.id.text() + "' is in use by domain '" + record->config.name + "'");
    }
    return base::ok;
}

Outcome<> Manager::delete_vnet(const std::string& id) {
    std::optional<Vnet> vnet;
    const std::lock_guard changing(vnets_mutex_);
    finish_vnets();
    {
        const std::lock_guard claiming(claims_mutex_);
        vnet = OTRY(find_vnet(id));
        OTRY(check_vnet_unused(*vnet));
        OTRY(ports_.vnets->save({*vnet, KeptVnet::Step::deleting}));
    }
    // As long as it can be told that it is busy, nothing of it has gone.
    auto gone = service::caught([&] { return run_vnet_script(*vnet, "stop"); });
    if (!gone) {
        OTRY(ports_.vnets->save({*vnet, KeptVnet::Step::kept}).context(gone.failure().text));
        return gone;
    }
    OTRY(ports_.vnets->remove(vnet->id));
    log(LogLevel::info, "vnet '" + vnet->id.text() + "' is deleted");
    return base::ok;
}

Outcome<> Manager::end_vnet_scripts() {
    std::vector<std::string> tags;
    for (const KeptVnet& one : OTRY(kept_vnets())) tags.push_back(tag_of(one.vnet));
    if (!tags.empty()) ports_.scripts.end(tags);
    return base::ok;
}

Outcome<> Manager::settle_vnets() {
    const std::lock_guard changing(vnets_mutex_);
    finish_vnets();
    Outcome<> first = base::ok;
    for (const KeptVnet& one : OTRY(kept_vnets())) {
        const auto made = one.step == KeptVnet::Step::kept ? run_vnet_script(one.vnet, "start") : Outcome<>(base::ok);
        if (!made && first) first = base::Failure(made.failure()).with("vnet '" + one.vnet.id.text() + "'");
    }
    return first;
}

Outcome<> Manager::check_vnets(const config::DomainConfig& config) {
    for (const config::Vif& vif : config.vifs) {
        if (!vif.vnet.empty()) OTRY(find_vnet(vif.vnet));
    }
    return base::ok;
}

Outcome<config::DomainConfig> Manager::on_bridges(config::DomainConfig config) {
    for (config::Vif& vif : config.vifs) {
        if (vif.vnet.empty()) continue;
        const Vnet vnet = OTRY(find_vnet(vif.vnet));
        OTRY(run_vnet_script(vnet, "start"));  // it may have been missing a card when xend started
        vif.bridge = vnet.bridge;
        if (vif.script.empty()) vif.script = "vif-bridge";
    }
    return config;
}

}  // namespace xend
