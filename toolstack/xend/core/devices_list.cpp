// SPDX-License-Identifier: Apache-2.0
// Devices as the store shows them.
#include <fmt/format.h>

#include <algorithm>

#include "lib/base/number.hpp"
#include "toolstack/xend/core/devices.hpp"
#include "toolstack/xend/core/store_pool.hpp"

namespace xend {

using base::DomId;
using base::Errc;
using base::Outcome;

namespace {

using Leaves = std::vector<std::pair<std::string, std::string>>;

/// Every leaf directly below `path`; none when there is no such folder.
Outcome<Leaves> leaves(xenstore::Store& store, const std::string& path) {
    Leaves out;
    const auto names = store.directory(path);
    if (!names && names.failure().code == Errc::noent) return out;
    if (!names) return names.failure();
    for (const std::string& name : *names) out.emplace_back(name, OTRY(text_at(store, fmt::format("{}/{}", path, name))));
    return out;
}

bool has(const Leaves& values, std::string_view key) {
    return std::any_of(values.begin(), values.end(), [&](const auto& one) { return one.first == key; });
}

/// A front end with several queues has its rings in a folder for each: the first one's stand for all. One whose ring has
/// several pages numbers them.
Outcome<> add_first_queue(xenstore::Store& store, const std::string& path, Leaves& front) {
    if (has(front, "queue-0")) {
        for (auto& one : OTRY(leaves(store, path + "/queue-0"))) {
            if (!has(front, one.first)) front.push_back(std::move(one));
        }
    }
    const auto page = std::find_if(front.begin(), front.end(), [](const auto& one) { return one.first == "ring-ref0"; });
    if (page != front.end() && !has(front, "ring-ref")) front.emplace_back("ring-ref", std::string(page->second));
    return base::ok;
}

}  // namespace

Outcome<std::vector<DeviceView>> Devices::list(xenstore::Store& store, DomId domain, const std::string& kind) {
    std::vector<DeviceView> out;
    const std::string folder = "/local/domain/" + std::to_string(domain.raw) + "/device/" + kind;
    for (const auto& [name, ignored] : OTRY(leaves(store, folder))) {
        const auto id = base::parse_number<uint32_t>(name);
        if (!id) continue;
        DeviceView view;
        view.kind = kind;
        view.devid = *id;
        const std::string path = fmt::format("{}/{}", folder, name);
        view.front = OTRY(leaves(store, path));
        OTRY(add_first_queue(store, path, view.front));
        for (const auto& [key, value] : view.front) {
            if (key == "backend-id") view.backend = base::parse_number<uint32_t>(value).value_or(0);
        }
        // The front end's folder belongs to the guest: where its back end is follows from numbers alone.
        view.backend_path = backend_path({domain, DomId{static_cast<uint16_t>(view.backend)}}, kind, *id);
        view.back = OTRY(leaves(store, view.backend_path));
        out.push_back(std::move(view));
    }
    return out;
}

}  // namespace xend
