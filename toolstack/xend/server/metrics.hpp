// SPDX-License-Identifier: Apache-2.0
#pragma once

// What GET /metrics says. docs/api.md has the names.

#include "toolstack/service/job_queues.hpp"
#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/server/prometheus_text.hpp"
#include "toolstack/xend/server/vitals.hpp"

namespace xend {

/// CPUs, memory and pools. Errors: of the hypervisor; the store is asked for names alone, and its failure costs only those.
base::Outcome<> write_host_metrics(PrometheusText& out, Manager& manager);
/// Domains, their vCPUs, disks and cards. One that goes meanwhile is not counted. `now`: Unix seconds. Errors: of the hypervisor.
base::Outcome<> write_domain_metrics(PrometheusText& out, Manager& manager, int64_t now, const std::string& sys);
void write_own_metrics(PrometheusText& out, const Vitals& vitals, const service::JobQueues::Load& load);

}  // namespace xend
