// SPDX-License-Identifier: Apache-2.0
#include "toolstack/service/job_queues.hpp"

#include "toolstack/service/caught.hpp"
#include "toolstack/service/log.hpp"

namespace service {

JobQueues::~JobQueues() { finish(); }

void JobQueues::post(const std::string& key, Job job) {
    const std::lock_guard guard(mutex_);
    if (ending_) return;
    std::deque<Job>& queue = queues_[key];
    queue.push_back(std::move(job));
    if (queue.size() > 1) return;  // its turn comes after those before it
    ready_.push_back(key);
    if (ready_.size() > idle_ && threads_.size() < most_) threads_.emplace_back([this] { work(); });
    wake_.notify_one();
}

void JobQueues::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        ++idle_;
        wake_.wait(lock, [this] { return !ready_.empty() || (ending_ && queues_.empty()); });
        --idle_;
        if (ready_.empty()) return;
        const std::string key = std::move(ready_.front());
        ready_.pop_front();
        const auto queue = queues_.find(key);
        Job job = std::move(queue->second.front());
        ++running_;
        lock.unlock();
        const auto done = caught([&]() -> base::Outcome<> {
            job();
            job = nullptr;  // what it holds may post
            return base::ok;
        });
        if (!done) log(LogLevel::error, "a job of '" + key + "' ended in an " + done.failure().text);
        lock.lock();
        --running_;
        queue->second.pop_front();
        if (queue->second.empty()) {
            queues_.erase(queue);
            if (ending_) wake_.notify_all();
        } else {
            ready_.push_back(key);
            wake_.notify_one();
        }
    }
}

JobQueues::Load JobQueues::load() {
    const std::lock_guard guard(mutex_);
    size_t all = 0;
    for (const auto& [key, queue] : queues_) all += queue.size();
    return {running_, all - running_};
}

void JobQueues::finish() {
    {
        const std::lock_guard guard(mutex_);
        ending_ = true;
        wake_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

}  // namespace service
