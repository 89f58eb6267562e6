// SPDX-License-Identifier: Apache-2.0
#pragma once

// What there is on a host, as JSON, and the schemas of it.

#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/rest/schema.hpp"

namespace xend::rest {

/// Those of dom0 too. A domain's counters are not in it: it is another one only when somebody has changed it.
Json domain_json(const DomainFacts& facts, const Record* record);
/// "running", "paused", "suspended", "shutdown", "crashed" or "dying".
std::string_view state_of(const xenctrl::DomainInfo& info);

base::Outcome<Json> domains_json(Manager& manager);
Json usage_json(const DomainFacts& facts);
base::Outcome<Json> vcpus_json(Manager& manager, const DomainFacts& facts);
/// `kind`: "vbd" or "vif".
base::Outcome<Json> devices_json(Manager& manager, const DomainFacts& facts, const std::string& kind);
base::Outcome<Json> console_json(Manager& manager, const DomainFacts& facts);
base::Outcome<Json> version_json(Manager& manager);
base::Outcome<Json> host_json(Manager& manager);
base::Outcome<Json> pools_json(Manager& manager);

extern const Schema domain_schema, domains_schema, usage_schema, usages_schema, vcpus_schema, vbds_schema, vifs_schema,
    console_schema, version_schema, host_schema, pool_schema, pools_schema, config_schema_of_domain;

Json pool_json(const PoolView& view);

}  // namespace xend::rest
