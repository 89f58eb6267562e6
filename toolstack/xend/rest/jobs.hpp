// SPDX-License-Identifier: Apache-2.0
#pragma once

// Changes that were asked for: who asks is told at once that there is a job, and looks at it or listens to events.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "toolstack/xend/rest/problem.hpp"

namespace xend::rest {

struct Job {
    enum class State : uint8_t { waiting, running, succeeded, failed, cancelled };
    std::string id;         // a uuid
    std::string operation;  // of the table of routes
    std::string domain;     // as it was called when the job was asked for; may be empty
    State state = State::waiting;
    std::string message;                        // where it stands; may be empty
    uint64_t done = 0, total = 0;               // of its work, in bytes; 0: it does not say
    int64_t asked = 0, started = 0, ended = 0;  // Unix seconds; 0: not yet
    Json result = nullptr;
    std::optional<Problem> problem;

    bool over() const { return state >= State::succeeded; }
};

Json job_json(const Job& job);
extern const Schema job_schema, jobs_schema;

/// What makes two requests the same one.
struct JobKey {
    std::string key;      // the client's; empty: none
    std::string request;  // of what is asked for
};

/// A job that has a key, as it is kept.
struct KeptJob {
    Job job;
    JobKey key;
};

/// Where jobs with keys are kept for the next xend. Thread-safe. Errors: of the disk.
class JobJournal {
public:
    virtual ~JobJournal() = default;
    /// In the order in which they were asked for.
    virtual base::Outcome<std::vector<KeptJob>> load() = 0;
    virtual base::Outcome<> save(const KeptJob& job) = 0;
    virtual base::Outcome<> remove(const std::vector<std::string>& ids) = 0;
};

/// All that are under way, and the last ones that ended. One that has a key is in the journal before anybody is told of it or works on
/// it, and its end when it has ended: what a xend that was killed was at is known to the next one. Thread-safe.
class Jobs {
public:
    /// `changed` is told of each step, in the order in which they are made, in whatever thread; it must not block or come back.
    /// `journal`: null: none has to be known to anybody later.
    explicit Jobs(
        std::function<int64_t()> now, std::function<void(const Job&)> changed = [](const Job&) {}, JobJournal* journal = nullptr)
        : now_(std::move(now)), changed_(std::move(changed)), journal_(journal) {}

    /// Takes over what an earlier xend has left: what it had not ended has failed. Once, before anything else. Errors: of the journal.
    base::Outcome<> take_over();

    using Key = JobKey;
    struct Begun {
        Job job;
        bool again = false;  // the job that the same key began before
    };
    /// Errors: inval: the key was given with another request; again: there are too many; of the journal.
    base::Outcome<Begun> begin(const std::string& operation, const std::string& domain, const Key& key);
    /// The job that this very request with this key has begun.
    std::optional<Job> begun(const Key& key) const;
    /// False: it was cancelled, and is not to run.
    bool start(const std::string& id);
    /// Where it stands; nothing of one that has ended.
    void progress(const std::string& id, const std::string& message, uint64_t done = 0, uint64_t total = 0);
    void succeed(const std::string& id, Json result);
    void fail(const std::string& id, const Problem& problem);

    /// How to end it while it runs.
    using Stop = std::function<base::Outcome<>()>;
    void stoppable(const std::string& id, Stop stop);
    /// Ends one that nobody works on: one that waits for its turn, or for somebody else (`idle()`). One that runs and is stoppable() is
    /// told to end, which it does soon. Errors: noent; busy: it runs to its end, or has ended; those of its Stop.
    base::Outcome<Job> cancel(const std::string& id);
    /// From now on it waits for somebody else, as for a guest to end; it can be cancelled.
    void idle(const std::string& id, const std::string& message);

    /// Errors: noent.
    base::Outcome<Job> find(const std::string& id) const;
    /// In the order in which they were asked for.
    std::vector<Job> all() const;

private:
    struct Entry {
        Job job;
        Key key;
        bool idle = false;
        bool told_to_end = false;
        Stop stop;
    };
    using Change = std::function<bool(Entry&)>;
    bool change(const std::string& id, const Change& what);
    void end(Entry& entry, Job::State state);
    std::vector<std::string> forget_old();
    std::shared_ptr<Entry> add(const KeptJob& kept);
    void drop(const Entry& entry);
    void note(const KeptJob& kept);

    std::function<int64_t()> now_;
    std::function<void(const Job&)> changed_;
    JobJournal* journal_;
    mutable std::mutex mutex_;
    std::map<std::string, std::shared_ptr<Entry>> by_id_;
    std::map<std::string, std::shared_ptr<Entry>> by_key_;
    std::deque<std::shared_ptr<Entry>> order_;
    size_t open_ = 0;  // that have not ended
};

}  // namespace xend::rest
