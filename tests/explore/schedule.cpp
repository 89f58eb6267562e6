// SPDX-License-Identifier: Apache-2.0
/// How a schedule is printed: one line an operation, with the CPU, the word, its values and the place in the source.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "tests/explore/engine.hpp"

namespace explore {

namespace {

const char* word(Kind k) {
    switch (k) {
        case Kind::load: return "reads";
        case Kind::store: return "stores";
        case Kind::delayed_store: return "stores (delayed)";
        case Kind::exchange: return "exchanges";
        case Kind::swap_done: return "swaps";
        case Kind::swap_failed: return "fails to swap";
        case Kind::add: return "adds";
        case Kind::sub: return "subtracts";
        case Kind::bit_and: return "ands";
        case Kind::bit_or: return "ors";
        case Kind::bit_xor: return "xors";
        case Kind::fence: return "fence";
        case Kind::arrives: return "delayed store arrives";
        case Kind::note: return "";
    }
    return "?";
}

std::string hex(uint64_t v) {
    char text[32];
    std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(v));
    return text;
}

std::string cut(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    return text;
}

/// "function at file:line" of each address, the innermost inlined function first that is not the library's.
std::map<void*, std::string> places(const std::set<void*>& addresses) {
    std::map<void*, std::string> found;
    char self[400];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return found;
    self[n] = 0;
    for (void* a : addresses) {
        // The address is where the call returns to: the line is that of the byte before.
        char command[600];
        std::snprintf(command, sizeof command, "addr2line -e '%s' -f -C -i -p -s %p 2>/dev/null", self,
                      static_cast<void*>(static_cast<char*>(a) - 1));
        FILE* f = popen(command, "r");
        if (!f) return found;
        char line[600];
        std::string inner;
        std::string outer;
        while (std::fgets(line, sizeof line, f)) {
            std::string text = cut(line);
            if (text.rfind(" (inlined by) ", 0) == 0) text = text.substr(14);
            if (text.rfind("std::", 0) == 0 || text.find("atomic_base.h") != std::string::npos ||
                text.find(" at atomic:") != std::string::npos)
                continue;
            if (inner.empty()) inner = text;
            else outer = text;
        }
        pclose(f);
        found[a] = outer.empty() ? inner : inner + ", in " + outer;
    }
    return found;
}

}  // namespace

void Engine::name(const volatile void* p, size_t bytes, const char* text) {
    Inside in(inside_);
    const auto first = reinterpret_cast<uintptr_t>(p);
    for (const Named& n : names_)
        if (n.first == first && n.end == first + bytes) return;
    names_.push_back({first, first + bytes, text});
}

std::string Engine::name_of(const volatile void* p) const {
    const auto a = reinterpret_cast<uintptr_t>(p);
    const Named* best = nullptr;
    for (const Named& n : names_)
        if (a >= n.first && a < n.end && (!best || n.end - n.first < best->end - best->first)) best = &n;
    if (!best) return hex(a);
    return a == best->first ? best->text : best->text + "+" + hex(a - best->first);
}

void Engine::record(Kind k, const volatile void* at, unsigned bytes, uint64_t old, uint64_t now, void* place) {
    Inside in(inside_);
    events_.push_back({k, static_cast<uint8_t>(current_), static_cast<uint8_t>(bytes), place, at, old, now, {}});
}

void Engine::note(std::string text) {
    Inside in(inside_);
    events_.push_back({Kind::note, static_cast<uint8_t>(current_), 0, nullptr, nullptr, 0, 0, std::move(text)});
}

std::string Engine::print_schedule() const {
    std::set<void*> wanted;
    for (const Event& e : events_)
        if (e.place) wanted.insert(e.place);
    const auto where = places(wanted);
    std::string out;
    unsigned last = ~0u;
    for (const Event& e : events_) {
        // What only one CPU uses says nothing, and long loops repeat themselves.
        if (e.at && !shared_.is_shared(e.at)) continue;
        if (e.cpu != last) out += "  -- CPU " + std::to_string(unsigned{e.cpu}) + "\n";
        last = e.cpu;
        out += "     ";
        if (e.kind == Kind::note) {
            out += "* " + e.text + "\n";
            continue;
        }
        out += std::string(word(e.kind)) + " " + (e.at ? name_of(e.at) : "");
        const bool writes = e.kind != Kind::load && e.kind != Kind::fence;
        if (e.kind == Kind::load || e.kind == Kind::swap_failed) out += " = " + hex(e.before);
        else if (writes) out += (e.kind == Kind::delayed_store ? "" : " " + hex(e.before)) + " -> " + hex(e.after);
        const auto w = where.find(e.place);
        if (w != where.end()) out += "   (" + w->second + ")";
        out += "\n";
    }
    return out;
}

}  // namespace explore
