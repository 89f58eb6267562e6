// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/device_counters.hpp"

#include <filesystem>
#include <fstream>
#include <optional>

#include "lib/base/number.hpp"

namespace xend {

namespace {

using Path = std::filesystem::path;

uint64_t counter(const Path& file) {
    std::ifstream in(file);
    uint64_t value = 0;
    in >> value;
    return in ? value : 0;
}

struct Ends {
    uint32_t domain = 0, devid = 0;
};

/// "vbd-DOMAIN-DEVID", as the bus names a device.
std::optional<Ends> ends_of(std::string_view name, std::string_view kind) {
    if (!name.starts_with(kind)) return std::nullopt;
    name.remove_prefix(kind.size());
    const auto domain = base::take_number<uint32_t>(name);
    if (!domain || !name.starts_with('-')) return std::nullopt;
    name.remove_prefix(1);
    const auto devid = base::parse_number<uint32_t>(name);
    if (!devid) return std::nullopt;
    return Ends{*domain, *devid};
}

DiskCounters disk_at(const Ends& ends, const Path& statistics) {
    DiskCounters out;
    out.domain = ends.domain;
    out.devid = ends.devid;
    out.no_room = counter(statistics / "oo_req");
    out.reads = counter(statistics / "rd_req");
    out.writes = counter(statistics / "wr_req");
    out.flushes = counter(statistics / "f_req");
    out.discards = counter(statistics / "ds_req");
    out.read_sectors = counter(statistics / "rd_sect");
    out.written_sectors = counter(statistics / "wr_sect");
    return out;
}

CardCounters::Way way_at(const Path& statistics, const std::string& which) {
    return {counter(statistics / (which + "_bytes")), counter(statistics / (which + "_packets")),
            counter(statistics / (which + "_dropped")), counter(statistics / (which + "_errors"))};
}

CardCounters card_at(const Ends& ends, const Path& device) {
    CardCounters out;
    out.domain = ends.domain;
    out.devid = ends.devid;
    std::error_code none;
    const std::filesystem::directory_iterator names(device / "net", none);
    if (none || names == std::filesystem::directory_iterator()) return out;
    out.name = names->path().filename().string();
    out.sent = way_at(names->path() / "statistics", "rx");
    out.received = way_at(names->path() / "statistics", "tx");
    return out;
}

}  // namespace

DeviceCounters device_counters(const std::string& sys) {
    DeviceCounters out;
    std::error_code none;
    for (std::filesystem::directory_iterator at(sys + "/bus/xen-backend/devices", none), end; !none && at != end;
         at.increment(none)) {
        const std::string name = at->path().filename().string();
        if (const auto disk = ends_of(name, "vbd-")) out.disks.push_back(disk_at(*disk, at->path() / "statistics"));
        if (const auto card = ends_of(name, "vif-")) out.cards.push_back(card_at(*card, at->path()));
    }
    return out;
}

}  // namespace xend
