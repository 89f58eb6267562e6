// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/rest/jobs.hpp"

#include "toolstack/config/uuid.hpp"
#include "toolstack/service/log.hpp"

namespace xend::rest {

using base::Errc;
using base::Outcome;
using Kind = Schema::Kind;
using enum Need;

namespace {

constexpr size_t most_open = 500;
constexpr size_t most_ended = 1000;

constexpr auto state_words = std::to_array<std::string_view>({"waiting", "running", "succeeded", "failed", "cancelled"});
constexpr Schema a_state{.kind = Kind::text, .words = state_words};
constexpr Schema anything{.kind = Kind::any};
constexpr auto progress_members =
    std::to_array<Member>({{"done", a_number, wanted, "Bytes"}, {"total", a_number, wanted, "Bytes"}});
constexpr Schema a_progress{.kind = Kind::object, .members = progress_members};
constexpr auto job_members = std::to_array<Member>({
    {"id", a_text},
    {"operation", a_text},
    {"domain", a_text, optional, "As it was called then"},
    {"state", a_state, wanted, "The last three are the end"},
    {"message", a_text, optional, "Where it stands"},
    {"progress", a_progress, optional},
    {"asked", a_number, wanted, "Unix seconds"},
    {"started", a_number, optional, "Unix seconds"},
    {"ended", a_number, optional, "Unix seconds"},
    {"result", anything, optional, "Of one that succeeded"},
    {"problem", problem_schema, optional, "Of one that failed"},
});
constexpr Schema job_list{.kind = Kind::list, .item = &job_schema, .most = most_open + most_ended};
constexpr auto jobs_members = std::to_array<Member>({{"jobs", job_list, wanted, "In the order in which they were asked for"}});

}  // namespace

constexpr Schema job_schema{.kind = Kind::object, .name = "Job", .members = job_members};
constexpr Schema jobs_schema{.kind = Kind::object, .members = jobs_members};

Json job_json(const Job& job) {
    Json out{{"id", job.id}, {"operation", job.operation}};
    if (!job.domain.empty()) out["domain"] = job.domain;
    out["state"] = state_words[static_cast<size_t>(job.state)];
    if (!job.message.empty()) out["message"] = job.message;
    if (job.total != 0) out["progress"] = {{"done", job.done}, {"total", job.total}};
    out["asked"] = job.asked;
    if (job.started != 0) out["started"] = job.started;
    if (job.ended != 0) out["ended"] = job.ended;
    if (!job.result.is_null()) out["result"] = job.result;
    if (job.problem) out["problem"] = problem_json(*job.problem);
    return out;
}

std::shared_ptr<Jobs::Entry> Jobs::add(const KeptJob& kept) {
    auto entry = std::make_shared<Entry>();
    entry->key = kept.key;
    entry->job = kept.job;
    by_id_[entry->job.id] = entry;
    if (!kept.key.key.empty()) by_key_[kept.key.key] = entry;
    order_.push_back(entry);
    if (!kept.job.over()) ++open_;
    return entry;
}

/// It is in nobody's table any more, but in order_.
void Jobs::drop(const Entry& entry) {
    if (!entry.key.key.empty()) by_key_.erase(entry.key.key);
    by_id_.erase(entry.job.id);
}

Outcome<> Jobs::take_over() {
    if (journal_ == nullptr) return base::ok;
    std::vector<KeptJob> ended;
    {
        auto all = OTRY(journal_->load());
        const std::lock_guard guard(mutex_);
        for (KeptJob& kept : all) {
            if (!kept.job.over()) {
                kept.job.state = Job::State::failed;
                kept.job.ended = now_();
                kept.job.problem = Problem{
                    500, "xend ended before this did, and what it had begun is finished or undone by now: look at the domain"};
                ended.push_back(kept);
            }
            add(kept);
        }
    }
    for (const KeptJob& kept : ended) OTRY(journal_->save(kept));
    return base::ok;
}

Outcome<Jobs::Begun> Jobs::begin(const std::string& operation, const std::string& domain, const Key& key) {
    std::shared_ptr<Entry> entry;
    KeptJob kept;
    {
        const std::lock_guard guard(mutex_);
        if (const auto known = by_key_.find(key.key); !key.key.empty() && known != by_key_.end()) {
            if (known->second->key.request == key.request) return Begun{known->second->job, true};
            return base::fail(Errc::inval, "Another request had this Idempotency-Key");
        }
        if (open_ >= most_open)
            return base::fail(Errc::again, "There are " + std::to_string(most_open) + " jobs under way already");
        kept.key = key;
        kept.job.id = config::Uuid::random().text();
        kept.job.operation = operation;
        kept.job.domain = domain;
        kept.job.asked = now_();
        entry = add(kept);
        changed_(entry->job);
    }
    if (journal_ == nullptr || key.key.empty()) return Begun{kept.job, false};
    // Beside the lock: a disk that hangs holds up nobody else.
    const auto noted = journal_->save(kept);
    if (noted) return Begun{kept.job, false};
    fail(kept.job.id, problem_of(noted.failure()));
    const std::lock_guard guard(mutex_);
    by_key_.erase(key.key);  // nothing was done for it: it may be asked again
    entry->key = {};
    return noted.failure();
}

std::optional<Job> Jobs::begun(const Key& key) const {
    const std::lock_guard guard(mutex_);
    const auto known = by_key_.find(key.key);
    if (key.key.empty() || known == by_key_.end() || known->second->key.request != key.request) return std::nullopt;
    return known->second->job;
}

/// Those that ended first are forgotten first: which ones the journal is to forget.
std::vector<std::string> Jobs::forget_old() {
    std::vector<std::string> out;
    for (auto at = order_.begin(); order_.size() - open_ > most_ended && at != order_.end();) {
        const Entry& entry = **at;
        if (!entry.job.over()) {
            ++at;
            continue;
        }
        if (!entry.key.key.empty()) out.push_back(entry.job.id);
        drop(entry);
        at = order_.erase(at);
    }
    return out;
}

/// What has come of one is known already: it is not undone because it cannot be written down.
void Jobs::note(const KeptJob& kept) {
    const auto noted = journal_->save(kept);
    if (!noted) service::log(service::LogLevel::warning, "the journal of jobs: " + noted.failure().text);
}

void Jobs::end(Entry& entry, Job::State state) {
    entry.job.state = state;
    entry.job.ended = now_();
    entry.job.message.clear();
    --open_;
}

/// `what` is asked of one that has not ended; false: it changes nothing.
bool Jobs::change(const std::string& id, const Change& what) {
    std::optional<KeptJob> ended;
    std::vector<std::string> forgotten;
    {
        const std::lock_guard guard(mutex_);
        const auto at = by_id_.find(id);
        if (at == by_id_.end() || at->second->job.over()) return false;
        const std::shared_ptr<Entry> entry = at->second;
        if (!what(*entry)) return false;
        changed_(entry->job);
        if (entry->job.over() && !entry->key.key.empty()) ended = KeptJob{entry->job, entry->key};
        forgotten = forget_old();
    }
    if (journal_ == nullptr) return true;
    if (ended) note(*ended);
    if (!forgotten.empty()) static_cast<void>(journal_->remove(forgotten));  // the next xend forgets them again
    return true;
}

bool Jobs::start(const std::string& id) {
    return change(id, [this](Entry& entry) {
        entry.job.state = Job::State::running;
        entry.job.started = now_();
        return true;
    });
}

void Jobs::progress(const std::string& id, const std::string& message, uint64_t done, uint64_t total) {
    change(id, [&](Entry& entry) {
        Job& job = entry.job;
        if (job.message == message && job.done == done && job.total == total) return false;
        job.message = message;
        job.done = done;
        job.total = total;
        return true;
    });
}

void Jobs::idle(const std::string& id, const std::string& message) {
    change(id, [&](Entry& entry) {
        entry.idle = true;
        entry.job.message = message;
        return true;
    });
}

void Jobs::succeed(const std::string& id, Json result) {
    change(id, [&](Entry& entry) {
        entry.job.result = std::move(result);
        end(entry, Job::State::succeeded);
        return true;
    });
}

void Jobs::fail(const std::string& id, const Problem& problem) {
    change(id, [&](Entry& entry) {
        if (!entry.told_to_end) entry.job.problem = problem;
        end(entry, entry.told_to_end ? Job::State::cancelled : Job::State::failed);
        return true;
    });
}

void Jobs::stoppable(const std::string& id, Stop stop) {
    const std::lock_guard guard(mutex_);
    if (const auto at = by_id_.find(id); at != by_id_.end()) at->second->stop = std::move(stop);
}

Outcome<Job> Jobs::cancel(const std::string& id) {
    bool runs = false;
    Stop stop;
    const bool ended = change(id, [&](Entry& entry) {
        runs = entry.job.state == Job::State::running && !entry.idle;
        if (runs) stop = entry.stop;
        else end(entry, Job::State::cancelled);
        return !runs;
    });
    if (ended) return find(id);
    if (!runs) {
        OTRY(find(id));
        return base::fail(Errc::busy, "Job " + id + " has ended");
    }
    if (!stop) return base::fail(Errc::busy, "Job " + id + " runs: it cannot be cancelled any more");
    OTRY(stop());
    change(id, [](Entry& entry) {
        entry.told_to_end = true;
        entry.job.message = "it was told to end";
        return true;
    });
    return find(id);
}

Outcome<Job> Jobs::find(const std::string& id) const {
    const std::lock_guard guard(mutex_);
    const auto at = by_id_.find(id);
    if (at == by_id_.end()) return base::fail(Errc::noent, "Job '" + id.substr(0, 60) + "' does not exist.");
    return at->second->job;
}

std::vector<Job> Jobs::all() const {
    const std::lock_guard guard(mutex_);
    std::vector<Job> out;
    for (const auto& entry : order_) out.push_back(entry->job);
    return out;
}

}  // namespace xend::rest
