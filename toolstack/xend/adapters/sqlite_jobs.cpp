// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/sqlite_jobs.hpp"

#include <array>

#include "lib/base/number.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using rest::Job;
using rest::Json;
using rest::KeptJob;

namespace {

constexpr std::array<const char*, 1> versions = {
    "CREATE TABLE IF NOT EXISTS jobs (id TEXT NOT NULL PRIMARY KEY, key TEXT NOT NULL, request TEXT NOT NULL, "
    "operation TEXT NOT NULL, domain TEXT NOT NULL, state TEXT NOT NULL, asked TEXT NOT NULL, started TEXT NOT NULL, "
    "ended TEXT NOT NULL, result TEXT NOT NULL, status TEXT NOT NULL, detail TEXT NOT NULL);"};

/// Errors: badmsg.
Outcome<KeptJob> read_row(const std::vector<std::string>& row) {
    const auto state = base::parse_number<uint8_t>(row[5]);
    const auto asked = base::parse_number<uint64_t>(row[6]), started = base::parse_number<uint64_t>(row[7]),
               ended = base::parse_number<uint64_t>(row[8]);
    const auto status = base::parse_number<uint16_t>(row[10]);
    rest::JsonFault fault;
    auto result = rest::parse_json(row[9], fault);
    if (!state || *state > static_cast<uint8_t>(Job::State::cancelled) || !asked || !started || !ended || !status || !result)
        return base::fail(Errc::badmsg, "a job in the journal is not understood");
    KeptJob out;
    out.job.id = row[0];
    out.key = {row[1], row[2]};
    out.job.operation = row[3];
    out.job.domain = row[4];
    out.job.state = static_cast<Job::State>(*state);
    out.job.asked = static_cast<int64_t>(*asked);
    out.job.started = static_cast<int64_t>(*started);
    out.job.ended = static_cast<int64_t>(*ended);
    out.job.result = std::move(*result);
    if (*status != 0) out.job.problem = rest::Problem{*status, row[11]};
    return out;
}

}  // namespace

SqliteJobs::SqliteJobs(std::string file) : file_(std::move(file), versions) {}

Outcome<std::vector<KeptJob>> SqliteJobs::load() {
    const std::lock_guard guard(mutex_);
    std::vector<KeptJob> out;
    Outcome<> understood = base::ok;
    OTRY(
        file_.read("SELECT id, key, request, operation, domain, state, asked, started, ended, result, status, detail FROM jobs "
                   "ORDER BY CAST(asked AS INTEGER), rowid",
                   [&](const std::vector<std::string>& row) {
                       auto job = read_row(row);
                       if (job) out.push_back(std::move(job).take());
                       else understood = job.failure();
                   }));
    OTRY(understood);
    return out;
}

Outcome<> SqliteJobs::save(const KeptJob& kept) {
    const std::lock_guard guard(mutex_);
    const Job& job = kept.job;
    const auto text = [](int64_t number) { return std::to_string(number); };
    return file_.write(
        {{"INSERT INTO jobs (id, key, request, operation, domain, state, asked, started, ended, result, status, detail) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) "
          "ON CONFLICT (id) DO UPDATE SET state = ?6, started = ?8, ended = ?9, result = ?10, status = ?11, detail = ?12",
          {job.id, kept.key.key, kept.key.request, job.operation, job.domain, text(static_cast<int64_t>(job.state)),
           text(job.asked), text(job.started), text(job.ended), rest::print_json(job.result),
           text(job.problem ? job.problem->status : 0), job.problem ? job.problem->detail : ""}}});
}

Outcome<> SqliteJobs::remove(const std::vector<std::string>& ids) {
    const std::lock_guard guard(mutex_);
    std::vector<SqliteFile::Change> changes;
    changes.reserve(ids.size());
    for (const std::string& id : ids) changes.push_back({"DELETE FROM jobs WHERE id = ?1", {id}});
    return file_.write(changes);
}

}  // namespace xend
