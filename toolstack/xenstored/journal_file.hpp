// SPDX-License-Identifier: Apache-2.0
/// The journal's file. Appending is one write into room that is allocated ahead; making it small again writes a new file and renames
/// it over the old one, so there is a whole journal at every instant. When the disk has no room for both, the old one is given up first;
/// and a journal that can no longer be written is made invalid: an old state that looks right would take the store back in time.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "toolstack/service/fd.hpp"

namespace xenstored {

class JournalFile {
public:
    /// `path` lies on a tmpfs (it need not outlive a boot), `boot_id` names this boot.
    JournalFile(std::string path, std::string boot_id) : path_(std::move(path)), boot_id_(std::move(boot_id)) {}

    const std::string& boot_id() const { return boot_id_; }
    /// The file's contents; empty if there is none.
    std::string load() const;
    /// Replaces the file by these groups and appends from there on. Errors: nospc and others of the system; there is no valid
    /// journal then, and the room it took is free.
    base::Outcome<base::Unit> rewrite(const std::vector<std::string>& groups);
    /// Adds one group. Errors: nospc and others of the system; what was there before still counts, so rewrite next.
    base::Outcome<base::Unit> append(std::string_view group);
    /// It has grown enough since the last rewrite to be worth another.
    bool is_long() const { return size_ > 1024 * 1024 && size_ > 4 * base_size_; }

private:
    base::Outcome<base::Unit> write_groups(const service::Fd& file, const std::vector<std::string>& groups);
    base::Outcome<base::Unit> replace(const std::vector<std::string>& groups);
    base::Outcome<base::Unit> rewrite_in_place(const std::vector<std::string>& groups);

    std::string path_;
    std::string boot_id_;
    service::Fd file_;
    size_t size_ = 0;
    size_t base_size_ = 0;
    size_t allocated_ = 0;  ///< of the file's room: what lies below cannot run into a full disk
};

/// What names this boot of this kernel.
std::string read_boot_id();

}  // namespace xenstored
