// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/sqlite_vnets.hpp"

#include <algorithm>
#include <array>

#include "toolstack/service/log.hpp"

namespace xend {

using base::Errc;
using base::Outcome;

namespace {

constexpr std::array<const char*, 1> versions = {
    "CREATE TABLE IF NOT EXISTS vnets (id TEXT PRIMARY KEY, step TEXT NOT NULL, description TEXT NOT NULL);"};

Outcome<KeptVnet> read_row(const std::vector<std::string>& row) {
    const auto step = std::ranges::find(vnet_step_names, row[1]);
    if (step == vnet_step_names.end()) return base::fail(Errc::badmsg, "its step is not known");
    const proto::Sxp description = OTRY(proto::parse_sxp(row[2]));
    return KeptVnet{OTRY(read_vnet(description)), static_cast<KeptVnet::Step>(step - vnet_step_names.begin())};
}

}  // namespace

SqliteVnets::SqliteVnets(std::string file) : file_(std::move(file), versions) {}

Outcome<std::vector<KeptVnet>> SqliteVnets::load() {
    const std::lock_guard guard(mutex_);
    std::vector<KeptVnet> out;
    OTRY(file_.read("SELECT id, step, description FROM vnets ORDER BY id", [&out](const std::vector<std::string>& row) {
        auto one = read_row(row);
        if (one) out.push_back(std::move(one).take());
        else service::log(service::LogLevel::error, "vnet '" + row[0] + "' is not understood: " + one.failure().text);
    }));
    return out;
}

Outcome<> SqliteVnets::save(const KeptVnet& one) {
    const std::lock_guard guard(mutex_);
    return file_.write(
        {{"INSERT INTO vnets (id, step, description) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET step = ?2, description = "
          "?3",
          {one.vnet.id.text(), std::string(vnet_step_names[static_cast<size_t>(one.step)]), proto::to_string(one.vnet.sxp())}}});
}

Outcome<> SqliteVnets::remove(const config::VnetId& id) {
    const std::lock_guard guard(mutex_);
    return file_.write({{"DELETE FROM vnets WHERE id = ?1", {id.text()}}});
}

}  // namespace xend
