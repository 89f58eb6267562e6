// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <mutex>
#include <optional>

#include "lib/proto/sxp.hpp"
#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// The journal as files DIR/UUID.sxp, each replaced atomically. DIR lies where a reboot of the machine empties it.
class FileRecords final : public Records {
    std::string folder_;
    std::mutex mutex_;
    std::optional<std::map<config::Uuid, RecordPtr>> known_;  // what the files hold

    void read_all();

    std::string path(const config::Uuid& uuid) const { return folder_ + "/" + uuid.text() + ".sxp"; }

public:
    explicit FileRecords(std::string folder) : folder_(std::move(folder)) {}
    /// Makes the folder, readable for root alone.
    base::Outcome<> prepare();
    base::Outcome<std::vector<RecordPtr>> load() override;
    base::Outcome<std::optional<Record>> find(const config::Uuid& uuid) override;
    base::Outcome<> save(const Record& record) override;
    base::Outcome<> remove(const config::Uuid& uuid) override;
};

proto::Sxp to_sxp(const Record& record);
base::Outcome<Record> record_from_sxp(const proto::Sxp& sxp);

}  // namespace xend
