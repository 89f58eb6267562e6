// SPDX-License-Identifier: Apache-2.0
/// What the explorer knows of memory: a journal that puts everything back, the words that CPUs share, and store buffers.
#pragma once

#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <vector>

namespace explore {

inline constexpr unsigned max_fibers = 4;

/// Old contents of everything stored, in order.
class Journal {
    struct Entry {
        void* at;
        uint32_t bytes;
        uint32_t offset;  ///< of the old contents
    };
    std::vector<Entry> entries_;
    std::vector<uint8_t> old_;

public:
    void keep(void* at, size_t bytes) {
        const size_t offset = old_.size();
        old_.resize(offset + bytes);
        std::memcpy(old_.data() + offset, at, bytes);
        entries_.push_back({at, static_cast<uint32_t>(bytes), static_cast<uint32_t>(offset)});
    }
    void undo() {
        for (auto e = entries_.rbegin(); e != entries_.rend(); ++e) std::memcpy(e->at, old_.data() + e->offset, e->bytes);
        entries_.clear();
        old_.clear();
    }
};

/// Which words need decisions: those that two CPUs use, one of them writing. It is found out while exploring; a word that
/// turns out to be shared only later makes the exploration begin again.
class SharedWords {
    struct Use {
        uint8_t users = 0;
        uint8_t writers = 0;
    };
    std::unordered_map<uintptr_t, Use> uses_;
    bool grew_ = false;

    static bool shared(Use u) { return u.writers && (u.users & (u.users - 1)); }

public:
    /// Notes the access; true when the word is shared.
    bool access(const volatile void* p, unsigned fiber, bool writes) {
        Use& u = uses_[reinterpret_cast<uintptr_t>(p) >> 3];
        const bool before = shared(u);
        u.users |= static_cast<uint8_t>(1u << fiber);
        if (writes) u.writers |= static_cast<uint8_t>(1u << fiber);
        if (!before && shared(u)) grew_ = true;
        return before;
    }
    bool is_shared(const volatile void* p) const {
        const auto u = uses_.find(reinterpret_cast<uintptr_t>(p) >> 3);
        return u != uses_.end() && shared(u->second);
    }
    bool take_grew() {
        const bool g = grew_;
        grew_ = false;
        return g;
    }
};

/// Stores that have not reached memory.
struct DelayedStore {
    void* at;
    uint64_t value;
    uint8_t bytes;
    void* place;
};

}  // namespace explore
