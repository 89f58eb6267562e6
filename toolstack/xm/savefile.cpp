// SPDX-License-Identifier: Apache-2.0
// xm savefile: looks into the file of a saved domain. xend is not asked.
#include <algorithm>

#include "lib/base/number.hpp"
#include "toolstack/config/libxl_json.hpp"
#include "toolstack/config/load.hpp"
#include "toolstack/migration/saved_file.hpp"
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using migration::SavedPages;
using proto::saved::PageKind;
using proto::saved::PageRun;

namespace {

std::string name_of(PageKind kind) {
    if (kind.table_level() != 0) return "L" + std::to_string(kind.table_level()) + (kind.pinned() ? " table, pinned" : " table");
    return kind == proto::saved::plain_page ? "data" : kind.exists() ? "no data" : "absent";
}

PageKind kind_of(const PageRun& run) { return {static_cast<uint8_t>(run.first >> proto::saved::PageEntry::kind_shift)}; }

uint64_t pages_of(const std::vector<PageRun>& runs, bool (*counts)(PageKind)) {
    uint64_t out = 0;
    for (const PageRun& run : runs) out += counts(kind_of(run)) ? run.count : 0;
    return out;
}

std::string whole(const std::string& file, bool hashed) {
    return file + " is whole" +
           (hashed ? ": every byte is what was written" : "; it has no hashes, so its pages may hold anything");
}

Outcome<> info(Call& call) {
    const std::string& file = call.line.arguments[1];
    const auto summary = OTRY(migration::verify_saved(file));
    const std::string where = "the configuration in " + file;
    const auto loaded = OTRY(summary.config.json ? config::from_libxl_json(summary.config.text, where)
                                                 : config::parse_config(summary.config.text, where));
    const auto line = [&](const char* name, const std::string& value) { call.out << format("%-12s: ", name) << value << "\n"; };
    line("name", loaded.config.name);
    line("uuid", loaded.config.uuid.text());
    line("memory", std::to_string(loaded.config.memory_mib) + " MiB");
    line("vcpus", std::to_string(loaded.config.vcpus));
    line("xen", std::to_string(summary.xen_major) + "." + std::to_string(summary.xen_minor));
    line("written by", summary.config.json ? "xl" : "xm");
    line("stream", std::to_string(summary.stream_length) + " bytes");
    line("pages", std::to_string(pages_of(summary.runs, [](PageKind kind) { return kind.exists(); })) + ", of which " +
                      std::to_string(pages_of(summary.runs, [](PageKind kind) { return kind.table_level() != 0; })) +
                      " are page tables");
    line("state", whole("it", summary.hashed));
    return base::ok;
}

Outcome<> ls(Call& call) {
    const auto pages = OTRY(SavedPages::open(call.line.arguments[1]));
    for (const PageRun& run : pages.runs()) {
        const uint64_t first = run.first & proto::saved::PageEntry::pfn_mask;
        call.out << format("%8llu %8llu %12llu ", static_cast<unsigned long long>(first),
                           static_cast<unsigned long long>(first + run.count - 1), static_cast<unsigned long long>(run.offset))
                 << name_of(kind_of(run)) << "\n";
    }
    return base::ok;
}

Outcome<> cat(Call& call) {
    if (call.line.arguments.size() != 3) return base::fail(Errc::inval, "xm savefile cat wants a file and the number of a page");
    const auto pfn = base::parse_number_or_hex<uint64_t>(call.line.arguments[2]);
    if (!pfn) return base::fail(Errc::inval, "'" + call.line.arguments[2] + "' is not the number of a page");
    const auto pages = OTRY(SavedPages::open(call.line.arguments[1]));
    const auto bytes = OTRY(pages.read(*pfn));
    call.out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return base::ok;
}

/// The domain's memory: page N at N * 4096, holes where there is none.
Outcome<> extract(Call& call) {
    if (call.line.arguments.size() != 3) return base::fail(Errc::inval, "xm savefile extract wants a file and where to write to");
    const auto pages = OTRY(SavedPages::open(call.line.arguments[1]));
    const auto out = OTRY(migration::PartFile::create(call.line.arguments[2]));
    uint64_t at = 0;
    for (SavedPages::Cursor cursor(pages); cursor; cursor.next()) {
        const SavedPages::Page page = *cursor;
        if (!page.entry.kind.has_data()) continue;
        OTRY(out->zeros((page.entry.pfn - at) * base::page_size));
        const auto bytes = OTRY(pages.read(page));
        OTRY(out->write(bytes));
        at = page.entry.pfn + 1;
    }
    return out->keep();
}

/// Whether the pages, of the same number, are the same.
Outcome<bool> same(const SavedPages& one, const SavedPages::Page& a, const SavedPages& other, const SavedPages::Page& b) {
    if (a.entry.kind != b.entry.kind) return false;
    return !a.entry.kind.has_data() || OTRY(one.read(a)) == OTRY(other.read(b));
}

Outcome<> diff(Call& call) {
    if (call.line.arguments.size() != 3) return base::fail(Errc::inval, "xm savefile diff wants two files");
    const auto one = OTRY(SavedPages::open(call.line.arguments[1]));
    const auto other = OTRY(SavedPages::open(call.line.arguments[2]));
    uint64_t count = 0;
    SavedPages::Cursor a(one), b(other);
    while (a || b) {
        const bool left = !b || (a && (*a).entry.pfn < (*b).entry.pfn);
        const bool right = !a || (b && (*b).entry.pfn < (*a).entry.pfn);
        const SavedPages::Page page = right ? *b : *a;
        const bool differ = left || right || !OTRY(same(one, *a, other, *b));
        if (differ) {
            ++count;
            call.out << format("%8llu ", static_cast<unsigned long long>(page.entry.pfn))
                     << (right ? "-" : name_of(page.entry.kind)) << " | " << (left ? "-" : name_of((*b).entry.kind)) << "\n";
        }
        if (!right) a.next();
        if (!left) b.next();
    }
    return count == 0 ? Outcome<>(base::ok) : base::fail(Errc::inval, std::to_string(count) + " pages differ");
}

Outcome<> verify(Call& call) {
    const std::string& file = call.line.arguments[1];
    const auto summary = OTRY(migration::verify_saved(file));
    call.out << whole(file, summary.hashed) << "\n";
    return base::ok;
}

Outcome<> savefile(Call& call) {
    using Run = Outcome<> (*)(Call&);
    static constexpr std::pair<std::string_view, Run> commands[] = {{"info", info},       {"ls", ls},     {"cat", cat},
                                                                    {"extract", extract}, {"diff", diff}, {"verify", verify}};
    for (const auto& [name, run] : commands) {
        if (name == call.line.arguments[0]) return run(call);
    }
    return base::fail(Errc::inval, "Invalid argument.");
}

}  // namespace

std::vector<Verb> savefile_verbs() {
    return {{"savefile",
             "info|ls|cat|extract|diff|verify <File> [<PFN>|<OutFile>|<File>]",
             "Look into the file of a saved domain.",
             {{'h', "help", "", "Print this help."}},
             2,
             3,
             false,
             savefile}};
}

}  // namespace xm
