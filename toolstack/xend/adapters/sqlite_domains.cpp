// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/sqlite_domains.hpp"

#include <array>

#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/service/log.hpp"

namespace xend {

using base::Outcome;

namespace {

constexpr std::array<const char*, 1> versions = {
    "CREATE TABLE IF NOT EXISTS domains (uuid TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, config TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS history (id INTEGER PRIMARY KEY, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, uuid TEXT NOT NULL, "
    "event TEXT NOT NULL, config TEXT NOT NULL);"};

}  // namespace

SqliteDomains::SqliteDomains(std::string file) : file_(std::move(file), versions) {}

Outcome<std::vector<config::DomainConfig>> SqliteDomains::load() {
    const std::lock_guard guard(mutex_);
    std::vector<config::DomainConfig> out;
    OTRY(file_.read("SELECT name, config FROM domains ORDER BY name", [&out](const std::vector<std::string>& row) {
        const auto sxp = proto::parse_sxp(row[1]);
        auto config = sxp ? config::from_sxp(*sxp) : Outcome<config::DomainConfig>(sxp.failure());
        if (config) out.push_back(std::move(config).take());
        else
            service::log(service::LogLevel::error, "managed domain '" + row[0] + "' is not understood: " + config.failure().text);
    }));
    return out;
}

Outcome<> SqliteDomains::save(const config::DomainConfig& config, const std::string& event) {
    const std::lock_guard guard(mutex_);
    const std::string uuid = config.uuid.text(), text = proto::to_string(config::to_sxp(config));
    return file_.write({{"INSERT INTO domains (uuid, name, config) VALUES (?1, ?2, ?3) "
                         "ON CONFLICT (uuid) DO UPDATE SET name = ?2, config = ?3",
                         {uuid, config.name, text}},
                        {"INSERT INTO history (uuid, event, config) VALUES (?1, ?2, ?3)", {uuid, event, text}}});
}

Outcome<> SqliteDomains::remove(const config::Uuid& uuid) {
    const std::lock_guard guard(mutex_);
    return file_.write(
        {{"INSERT INTO history (uuid, event, config) SELECT uuid, 'delete', config FROM domains WHERE uuid = ?1", {uuid.text()}},
         {"DELETE FROM domains WHERE uuid = ?1", {uuid.text()}}});
}

}  // namespace xend
