// SPDX-License-Identifier: Apache-2.0
// Lists of CPUs, "0-3,5,^1".
#include <algorithm>

#include "lib/base/number.hpp"
#include "toolstack/config/domain_config.hpp"
#include "toolstack/config/split.hpp"

namespace config {

using base::Errc;
using base::Outcome;

Outcome<std::vector<uint8_t>> parse_cpu_list(std::string_view text, uint32_t cpus) {
    std::vector<uint8_t> map((std::max(cpus, 1U) + 7) / 8, 0);
    const auto bad = [&] {
        return base::fail(Errc::inval, "'" + std::string(text.substr(0, 60)) + "' is not a list of CPUs like 0-3,^1");
    };
    std::string_view rest = text;
    while (!rest.empty()) {
        std::string_view item = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(item.size() + 1, rest.size()));
        while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
        while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
        const bool exclude = item.starts_with('^');
        if (exclude) item.remove_prefix(1);
        uint32_t first = 0, last = cpus == 0 ? 0 : cpus - 1;
        if (item != "all") {
            const auto begin = base::take_number<uint32_t>(item);
            if (!begin) return bad();
            first = last = *begin;
            if (!item.empty()) {
                const auto end = item.front() == '-' ? base::parse_number<uint32_t>(item.substr(1)) : std::nullopt;
                if (!end) return bad();
                last = *end;
            }
        }
        if (last < first || last - first > 4096) return bad();
        for (uint32_t cpu = first; cpu <= last && cpus != 0; ++cpu) {
            const uint32_t real = cpu % cpus;  // as classic xend took them
            const auto bit = static_cast<uint8_t>(1U << (real % 8));
            map[real / 8] = static_cast<uint8_t>(exclude ? (map[real / 8] & ~bit) : (map[real / 8] | bit));
        }
    }
    if (std::all_of(map.begin(), map.end(), [](uint8_t b) { return b == 0; })) return bad();
    return map;
}

std::optional<std::vector<uint32_t>> cpus_named(std::string_view list) {
    constexpr uint32_t any_machine = 4096;
    const auto map = parse_cpu_list(list, any_machine);
    if (!map || list.find("all") != std::string_view::npos) return std::nullopt;
    std::vector<uint32_t> out;
    for (uint32_t cpu = 0; cpu < any_machine; ++cpu) {
        if ((((*map)[cpu / 8] >> (cpu % 8)) & 1U) != 0) out.push_back(cpu);
    }
    return out;
}

std::string_view cpus_of_vcpu(std::string_view cpus, uint32_t vcpu) {
    const auto lists = split(cpus, ';');
    if (lists.size() == 1) return lists[0];
    return vcpu < lists.size() ? lists[vcpu] : std::string_view();
}

}  // namespace config
