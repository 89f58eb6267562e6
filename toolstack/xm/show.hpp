// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the tables of both dialects are made of.

#include <string>
#include <vector>

#include "lib/base/number.hpp"
#include "lib/proto/sxp.hpp"

namespace xm {

template <class T>
T number_in(const proto::Sxp& sxp, const char* name, T otherwise = 0) {
    return base::parse_number<T>(sxp.child_value(name, "")).value_or(otherwise);
}

/// The CPUs that a vCPU may run on, in order.
std::vector<int64_t> cpus_of(const proto::Sxp& vcpu);
/// "0-2,4"; two that are neighbours with `pair` between them.
std::string ranges_of(const std::vector<int64_t>& numbers, char pair);
/// "r--", "-b-", or "--p" of one that is not online.
std::string state_of_vcpu(const proto::Sxp& vcpu);
/// Where a vCPU runs; "-" when it is not online.
std::string cpu_of(const proto::Sxp& vcpu);
/// Whether it is among those that -a means: not dom0, nor one that has stopped already.
bool may_be_stopped(const proto::Sxp& domain);
/// How long a domain has run, in seconds; dom0: the machine.
int64_t uptime_of(const proto::Sxp& domain);

}  // namespace xm
