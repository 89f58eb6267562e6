// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/similar.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace config {

namespace {

constexpr size_t longest_word = 64;

/// How many letters must be changed, added or taken away to make `b` of `a`.
size_t distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row[b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view word, std::span<const std::string_view> names) {
    if (word.size() > longest_word) return {};
    const size_t most = word.size() < 5 ? 1 : 2;
    std::string_view best;
    size_t least = most + 1;
    for (const std::string_view name : names) {
        const size_t d = distance(word, name);
        if (d < least) best = name, least = d;
    }
    return best.empty() ? std::string() : ": did you mean '" + std::string(best) + "'?";
}

}  // namespace config
