// SPDX-License-Identifier: Apache-2.0
/// Work that may block, away from an event loop.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace service {

/// A queue for each key, and threads that work on them, made when they are needed: jobs of one key follow each other in the order in which they
/// were posted, those of different keys run side by side. So whoever waits for one thing occupies one thread, however
/// many others wait for the same.
class JobQueues {
public:
    using Job = std::function<void()>;

    explicit JobQueues(unsigned most_threads) : most_(most_threads) {}
    /// finish()es.
    ~JobQueues();
    JobQueues(const JobQueues&) = delete;
    JobQueues& operator=(const JobQueues&) = delete;

    /// Never blocks. From any thread, also from a job. After finish() it does nothing.
    void post(const std::string& key, Job job);
    /// Waits for everything that was posted.
    void finish();
    /// Jobs that run now, and those that wait for a thread or for the ones before them.
    struct Load {
        size_t running = 0, waiting = 0;
    };
    Load load();

private:
    void work();

    std::mutex mutex_;
    std::condition_variable wake_;
    std::map<std::string, std::deque<Job>> queues_;  // those with a job, running or waiting; a running one is still in front
    std::deque<std::string> ready_;                  // keys whose first job nobody has taken
    const unsigned most_;
    unsigned idle_ = 0;
    size_t running_ = 0;
    bool ending_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace service
