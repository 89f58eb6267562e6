// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstore/cli/commands.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <limits>

#include "toolstack/xenstore/cli/text.hpp"

namespace xenstore::cli {

namespace {

using base::Outcome;

int complain(const Arguments& a, const std::string& what) {
    std::fflush(stdout);
    std::fprintf(stderr, "%s: %s\n", a.program.c_str(), what.c_str());
    return 1;
}

/// A failure in the words of the tools people know; why it failed is added when it is not simply missing.
int complain(const Arguments& a, const std::string& what, const base::Failure& failure) {
    if (failure.code == base::Errc::noent) return complain(a, what);
    return complain(a, what + " (" + std::strerror(static_cast<int>(failure.code)) + ")");
}

void say(const std::string& line) {
    std::fwrite(line.data(), 1, line.size(), stdout);
    std::putchar('\n');
}

std::string below(const std::string& path, const std::string& name) { return path == "/" ? path + name : path + "/" + name; }

std::string parent_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string() : path.substr(0, slash == 0 ? 1 : slash);
}

std::string permissions_text(const Permissions& permissions) {
    std::string text;
    for (const Permission& p : permissions) text += (text.empty() ? "" : ",") + to_string(p);
    return text;
}

Layout layout_for(const Arguments& a) {
    Layout layout{a.full_path, a.permissions, 80};
    winsize size{};
    if (::isatty(STDOUT_FILENO) != 0 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 2) {
        layout.width = size.ws_col - size_t{2};
    } else if (a.full_path) {
        layout.width = std::numeric_limits<size_t>::max();
    }
    return layout;
}

/// Lists what is below `path`. A node that goes away meanwhile is left out.
Outcome<base::Unit> list_below(Store& store, const Layout& layout, const std::string& path, size_t depth) {
    const std::vector<std::string> names = OTRY(store.directory(path));
    for (const std::string& name : names) {
        const std::string child = below(path, name);
        const auto value = store.read(child);
        if (!value) continue;
        std::string permissions;
        if (layout.permissions) {
            const auto list = store.permissions(child);
            if (list) permissions = permissions_text(*list);
        }
        say(listing_line(layout, depth, layout.full_path ? child : name, escaped(*value), permissions));
        auto done = list_below(store, layout, child, depth + 1);
        if (!done && done.failure().code != base::Errc::noent) return done;
    }
    return base::ok;
}

Store::Status set_below(Transaction& t, const std::string& path, const Permissions& permissions) {
    OTRY(t.set_permissions(path, permissions));
    const std::vector<std::string> names = OTRY(t.directory(path));
    for (const std::string& name : names) OTRY(set_below(t, below(path, name), permissions));
    return base::ok;
}

/// Removes empty ancestors, up to the first that holds something.
Store::Status tidy_above(Transaction& t, std::string path) {
    for (path = parent_of(path); path.size() > 1; path = parent_of(path)) {
        const auto names = OTRY(t.directory(path));
        const auto value = OTRY(t.read(path));
        if (!names.empty() || !value.empty()) break;
        OTRY(t.remove(path));
    }
    return base::ok;
}

}  // namespace

int read(Store& store, const Arguments& a) {
    for (const std::string& path : a.words) {
        const auto value = store.read(path);
        if (!value) return complain(a, "couldn't read path " + path, value.failure());
        const std::string text = (a.with_path ? path + ": " : std::string()) + (a.raw ? *value : escaped(*value));
        std::fwrite(text.data(), 1, text.size(), stdout);
        if (!a.raw) std::putchar('\n');
    }
    return 0;
}

int write(Store& store, const Arguments& a) {
    std::string at;
    const auto done = in_transaction(store, [&](Transaction& t) -> Store::Status {
        for (size_t i = 0; i + 1 < a.words.size(); i += 2) {
            at = a.words[i];
            const auto value = a.raw ? std::optional(a.words[i + 1]) : unescaped(a.words[i + 1]);
            if (!value) return base::fail(base::Errc::inval, "a backslash that means nothing");
            OTRY(t.write(at, *value));
        }
        return base::ok;
    });
    return done ? 0 : complain(a, "could not write path " + at, done.failure());
}

int list(Store& store, const Arguments& a) {
    for (const std::string& path : a.words) {
        const auto names = store.directory(path);
        if (!names) return complain(a, "could not list path " + path, names.failure());
        for (const std::string& name : *names) say(a.with_path ? below(path, name) : name);
    }
    return 0;
}

int tree(Store& store, const Arguments& a) {
    const std::string path = a.words.empty() ? "/" : a.words[0];
    const auto done = list_below(store, layout_for(a), path, 0);
    if (done) return 0;
    return complain(a, "xs_directory (" + path + "): " + std::strerror(static_cast<int>(done.failure().code)));
}

int remove(Store& store, const Arguments& a) {
    std::string at;
    const auto done = in_transaction(store, [&](Transaction& t) -> Store::Status {
        for (const std::string& path : a.words) {
            at = path;
            OTRY(t.remove(path));
            if (a.tidy) OTRY(tidy_above(t, path));
        }
        return base::ok;
    });
    return done ? 0 : complain(a, "could not remove path " + at, done.failure());
}

int exists(Store& store, const Arguments& a) {
    for (const std::string& path : a.words) {
        if (!store.read(path)) return 1;
    }
    return 0;
}

int change_permissions(Store& store, const Arguments& a) {
    Permissions permissions;
    for (size_t i = 1; i < a.words.size(); ++i) {
        const auto one = parse_permission(a.words[i]);
        if (!one) return complain(a, "Invalid permission specification: '" + a.words[i] + "'");
        permissions.push_back(*one);
    }
    const auto done = in_transaction(store, [&](Transaction& t) -> Store::Status {
        OTRY(a.recursive ? set_below(t, a.words[0], permissions) : t.set_permissions(a.words[0], permissions));
        if (!a.upwards) return base::ok;
        for (std::string path = parent_of(a.words[0]); path.size() > 1; path = parent_of(path)) {
            OTRY(t.set_permissions(path, permissions));
        }
        return base::ok;
    });
    return done ? 0 : complain(a, "Error occurred setting permissions on '" + a.words[0] + "'", done.failure());
}

int watch(Store& store, const Arguments& a) {
    for (const std::string& path : a.words) {
        const auto set = store.watch(path, path);
        if (!set) return complain(a, "Unable to add watch on " + path, set.failure());
    }
    for (int left = a.count; left != 0;) {
        const auto event = store.next_event(std::chrono::hours(24));
        if (!event) return complain(a, event.failure().text);
        if (!*event) continue;
        say((*event)->path);
        std::fflush(stdout);
        if (left > 0) --left;
    }
    return 0;
}

int control(Store& store, const Arguments& a) {
    const auto answer = store.control(a.words);
    if (!answer) return complain(a, answer.failure().text);
    say(*answer);
    return 0;
}

}  // namespace xenstore::cli
