// SPDX-License-Identifier: Apache-2.0
#include "lib/parse/e820.hpp"

namespace parse {

namespace {

using base::Errc;

constexpr std::uint64_t page = 4096;

MemoryType known_type(std::uint32_t type) {
    switch (static_cast<MemoryType>(type)) {
        case MemoryType::ram:
        case MemoryType::reserved:
        case MemoryType::acpi:
        case MemoryType::nvs:
        case MemoryType::unusable:
        case MemoryType::persistent: return static_cast<MemoryType>(type);
    }
    return MemoryType::reserved;
}

/// Where ranges overlap, the higher one wins: what must not be touched beats what may be.
unsigned restrictiveness(MemoryType type) {
    switch (type) {
        case MemoryType::ram: return 0;
        case MemoryType::persistent: return 1;
        case MemoryType::acpi: return 2;
        case MemoryType::nvs: return 3;
        case MemoryType::reserved: return 4;
        case MemoryType::unusable: return 5;
    }
    return 4;
}

bool before(const MemoryRange& a, const MemoryRange& b) { return a.start < b.start; }

/// Keeps `list` sorted by start.
template <class List>
bool insert_sorted(List& list, const MemoryRange& range) {
    std::size_t at = list.size();
    while (at > 0 && before(range, list[at - 1])) --at;
    return list.insert(at, range);
}

template <class List>
void merge_neighbours(List& list) {
    for (std::size_t i = 1; i < list.size();) {
        if (list[i - 1].type == list[i].type && list[i - 1].end == list[i].start) {
            list[i - 1].end = list[i].end;
            list.erase(i);
        } else {
            ++i;
        }
    }
}

/// Two overlapping ranges become at most three that do not; in the overlap the more restrictive type stays.
/// `a` starts no later than `b`.
FixedList<MemoryRange, 3> without_overlap(const MemoryRange& a, const MemoryRange& b) {
    FixedList<MemoryRange, 3> parts;
    const auto keep = [&](std::uint64_t start, std::uint64_t end, MemoryType type) {
        if (start < end) static_cast<void>(parts.push({start, end, type}));  // three calls at most: never full
    };
    if (restrictiveness(b.type) > restrictiveness(a.type)) {
        keep(a.start, b.start, a.type);
        keep(b.start, b.end, b.type);
        keep(b.end, a.end, a.type);
    } else {
        keep(a.start, a.end, a.type);
        keep(a.end, b.end, b.type);
    }
    return parts;
}

}  // namespace

base::Status MemoryMap::add(std::uint64_t start, std::uint64_t size, std::uint32_t type) {
    if (size == 0) return base::ok;
    const std::uint64_t end = size > UINT64_MAX - start ? UINT64_MAX : start + size;
    if (end == start) return base::ok;
    if (!ranges_.push({start, end, known_type(type)})) return base::Err{Errc::nospc};
    return base::ok;
}

base::Status MemoryMap::sanitise() {
    // In place, so that no second array of this size burdens the stack.
    for (std::size_t i = 1; i < ranges_.size(); ++i) {
        const MemoryRange range = ranges_[i];
        std::size_t at = i;
        for (; at > 0 && before(range, ranges_[at - 1]); --at) ranges_[at] = ranges_[at - 1];
        ranges_[at] = range;
    }
    // In front of i nothing overlaps; each round takes one overlap out.
    for (std::size_t i = 1; i < ranges_.size();) {
        if (ranges_[i].start >= ranges_[i - 1].end) {
            ++i;
            continue;
        }
        const auto parts = without_overlap(ranges_[i - 1], ranges_[i]);
        ranges_.erase(i);
        ranges_.erase(i - 1);
        for (const MemoryRange& part : parts)
            if (!insert_sorted(ranges_, part)) return base::Err{Errc::nospc};
        if (i > 1) --i;
    }
    merge_neighbours(ranges_);
    return base::ok;
}

base::Status MemoryMap::change(std::uint64_t start, std::uint64_t end, MemoryType from, MemoryType to) {
    for (std::size_t i = 0; i < ranges_.size(); ++i) {
        const MemoryRange old = ranges_[i];
        if (old.type != from || old.end <= start || old.start >= end) continue;
        const MemoryRange inner{old.start > start ? old.start : start, old.end < end ? old.end : end, to};
        ranges_[i] = inner;
        if (inner.end < old.end && !ranges_.insert(i + 1, {inner.end, old.end, from})) return base::Err{Errc::nospc};
        if (old.start < inner.start) {
            if (!ranges_.insert(i, {old.start, inner.start, from})) return base::Err{Errc::nospc};
            ++i;
        }
    }
    merge_neighbours(ranges_);
    return base::ok;
}

void MemoryMap::limit_ram(std::uint64_t bytes) {
    for (std::size_t i = 0; i < ranges_.size();) {
        MemoryRange& range = ranges_[i];
        if (range.type == MemoryType::ram) {
            if (range.size() > bytes) range.end = range.start + bytes;
            bytes -= range.size();
        }
        if (range.size() == 0) ranges_.erase(i);
        else ++i;
    }
}

void MemoryMap::align_ram_to_pages() {
    for (std::size_t i = 0; i < ranges_.size();) {
        MemoryRange& range = ranges_[i];
        if (range.type == MemoryType::ram) {
            range.end &= ~(page - 1);
            if (range.start > UINT64_MAX - page + 1) range.start = range.end;
            else range.start = (range.start + page - 1) & ~(page - 1);
        }
        if (range.start >= range.end) ranges_.erase(i);
        else ++i;
    }
}

std::uint64_t MemoryMap::ram_bytes() const {
    std::uint64_t sum = 0;
    for (const MemoryRange& range : ranges_)
        if (range.type == MemoryType::ram) sum += range.size();
    return sum;
}

std::uint64_t MemoryMap::ram_end() const {
    std::uint64_t end = 0;
    for (const MemoryRange& range : ranges_)
        if (range.type == MemoryType::ram && range.end > end) end = range.end;
    return end;
}

const MemoryRange* MemoryMap::find(std::uint64_t address) const {
    for (const MemoryRange& range : ranges_)
        if (address >= range.start && address < range.end) return &range;
    return nullptr;
}

const char* memory_type_name(MemoryType type) {
    switch (type) {
        case MemoryType::ram: return "usable";
        case MemoryType::reserved: return "reserved";
        case MemoryType::acpi: return "ACPI data";
        case MemoryType::nvs: return "ACPI NVS";
        case MemoryType::unusable: return "unusable";
        case MemoryType::persistent: return "persistent";
    }
    return "unknown";
}

}  // namespace parse
