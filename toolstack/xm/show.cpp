// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xm/show.hpp"

#include <algorithm>
#include <ctime>
#include <fstream>

namespace xm {

using proto::Sxp;

std::vector<int64_t> cpus_of(const Sxp& vcpu) {
    std::vector<int64_t> out;
    const Sxp* map = vcpu.child("cpumap");
    if (map == nullptr || map->items().size() < 2) return out;
    for (const Sxp& item : map->items()[1].items()) out.push_back(base::parse_number<int64_t>(item.text()).value_or(0));
    return out;
}

std::string ranges_of(const std::vector<int64_t>& numbers, char pair) {
    std::string out;
    for (size_t i = 0; i < numbers.size(); ++i) {
        size_t end = i;
        while (end + 1 < numbers.size() && numbers[end + 1] == numbers[end] + 1) ++end;
        out += (out.empty() ? "" : ",") + std::to_string(numbers[i]);
        if (end > i) out += (end == i + 1 ? pair : '-') + std::to_string(numbers[end]);
        i = end;
    }
    return out;
}

std::string state_of_vcpu(const Sxp& vcpu) {
    if (vcpu.child_value("online", "0") != "1") return "--p";
    const std::string running = vcpu.child_value("running", "0") == "1" ? "r" : "-";
    return running + (vcpu.child_value("blocked", "0") == "1" ? "b-" : "--");
}

std::string cpu_of(const Sxp& vcpu) { return vcpu.child_value("online", "0") == "1" ? vcpu.child_value("cpu", "-") : "-"; }

bool may_be_stopped(const Sxp& domain) {
    return domain.child_value("domid", "") != "0" && domain.child_value("state", "").find_first_of("scd") == std::string::npos;
}

int64_t uptime_of(const Sxp& domain) {
    if (domain.child_value("domid", "") == "0") {
        std::ifstream in("/proc/uptime");
        double value = 0;
        in >> value;
        return static_cast<int64_t>(value);
    }
    const auto start = number_in<int64_t>(domain, "start_time");
    return start == 0 ? 0 : std::max<int64_t>(std::time(nullptr) - start, 0);
}

}  // namespace xm
