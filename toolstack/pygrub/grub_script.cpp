// SPDX-License-Identifier: Apache-2.0
// GRUB 2's grub.cfg: a script. What decides the menu and its default is run; loops, functions and all that shows or loads
// something is passed over.
#include <algorithm>
#include <array>
#include <optional>

#include "lib/base/number.hpp"
#include "toolstack/pygrub/boot_menu.hpp"
#include "toolstack/pygrub/shell_words.hpp"

namespace pygrub {

using base::Errc;
using base::Outcome;

namespace {

constexpr int most_depth = 32;

bool is_one_of(std::string_view word, const auto& list) { return std::find(list.begin(), list.end(), word) != list.end(); }

/// A line of the menu: an entry, or a menu of its own.
struct Item {
    std::string title, id;
    std::optional<size_t> entry;
    std::vector<Item> items;
};

/// The first entry in it.
std::optional<size_t> first_entry(const Item& item) {
    if (item.entry) return item.entry;
    for (const Item& inner : item.items) {
        if (const auto found = first_entry(inner)) return found;
    }
    return std::nullopt;
}

/// "1>Title>id": each step a number, a title or an id of the menu that the one before named.
std::optional<size_t> find_default(const Item& menu, std::string_view path) {
    const size_t end = path.find('>');
    const std::string_view step = path.substr(0, end);
    auto at = std::ranges::find_if(menu.items, [&](const Item& i) { return i.title == step || (!i.id.empty() && i.id == step); });
    if (at == menu.items.end()) {
        const auto number = base::parse_number<size_t>(step);
        if (!number || *number >= menu.items.size()) return std::nullopt;
        at = menu.items.begin() + static_cast<std::ptrdiff_t>(*number);
    }
    if (end == std::string_view::npos || at->entry) return first_entry(*at);
    return find_default(*at, path.substr(end + 1));
}

class Interpreter {
public:
    Interpreter(std::vector<Token> tokens, const GrubSurroundings& beside) : tokens_(std::move(tokens)), beside_(beside) {}

    Outcome<BootMenu> run() {
        const auto stop = OTRY(commands(true));
        if (!stop.empty()) return wrong("'" + std::string(stop) + "' without its beginning");
        menu_.chosen = find_default(root_, variables_["default"]).value_or(first_entry(root_).value_or(0));
        return std::move(menu_);
    }

private:
    using Words = std::vector<std::string>;

    base::Failure wrong(const std::string& what) const {
        const uint32_t line = tokens_.empty() ? 1 : tokens_[std::min(at_, tokens_.size() - 1)].line;
        return base::fail(Errc::inval, std::to_string(line) + ": " + what);
    }

    bool more() const { return at_ < tokens_.size(); }

    /// Runs commands, or passes them over, to the end or a word that ends a list of commands, which is taken and told.
    Outcome<std::string_view> commands(bool active) {
        static constexpr std::array<std::string_view, 7> ends = {"then", "elif", "else", "fi", "do", "done", "}"};
        if (++depth_ > most_depth) return wrong("it is nested too deeply");
        while (more()) {
            const Token& first = tokens_[at_];
            if (first.kind == Token::Kind::end_of_command) {
                ++at_;
                continue;
            }
            const std::string_view word = first.plain();
            if (is_one_of(word, ends)) {
                ++at_;
                --depth_;
                return word;
            }
            OTRY(command(word, active));
        }
        --depth_;
        return std::string_view();
    }

    Outcome<> command(std::string_view word, bool active) {
        if (word == "if") return branches(active);
        if (word == "for" || word == "while" || word == "until") return loop();
        if (word == "menuentry" || word == "submenu") return menu_item(word == "submenu", active);
        if (word == "function") {
            words(false);
            return block(false);
        }
        if (word == "{") {
            ++at_;
            return until("}", active);
        }
        const Words all = words(active);
        if (active) execute(all);
        return base::ok;
    }

    Outcome<> until(std::string_view end, bool active) {
        const std::string_view stop = OTRY(commands(active));
        return stop == end ? Outcome<>(base::ok) : Outcome<>(wrong("'" + std::string(end) + "' is missing"));
    }

    Outcome<> loop() {
        ++at_;
        OTRY(until("do", false));
        return until("done", false);
    }

    Outcome<> block(bool active) {
        if (!more() || tokens_[at_].plain() != "{") return wrong("'{' is missing");
        ++at_;
        return until("}", active);
    }

    Outcome<> branches(bool active) {
        bool taken = false;
        for (;;) {
            ++at_;
            OTRY(until("then", active && !taken));
            const bool yes = active && !taken && status_;
            auto stop = OTRY(commands(yes));
            taken = taken || yes;
            if (stop == "else") stop = OTRY(commands(active && !taken));
            if (stop == "fi") return base::ok;
            if (stop != "elif") return wrong("'fi' is missing");
            --at_;  // `elif` stands where `if` did
        }
    }

    Outcome<> menu_item(bool is_submenu, bool active) {
        const Words said = words(active);
        if (!active) return block(false);
        if (menu_.entries.size() >= most_entries) return base::fail(Errc::toobig, "it has too many entries");
        Item item = named(said);
        if (!is_submenu) {
            item.entry = menu_.entries.size();
            menu_.entries.push_back({item.title, item.id, {}, {}, {}});
        }
        std::vector<Item>* const level = level_;
        const auto current = std::exchange(current_, item.entry);
        level->push_back(std::move(item));
        if (is_submenu) level_ = &level->back().items;
        auto done = block(true);
        level_ = level;
        current_ = current;
        return done;
    }

    /// Title and id of `menuentry TITLE --class X --id ID …`.
    static Item named(const Words& said) {
        static constexpr std::array<std::string_view, 4> with_value = {"--class", "--users", "--hotkey", "--source"};
        Item item;
        bool titled = false;
        for (size_t i = 1; i < said.size(); ++i) {
            if (is_one_of(said[i], with_value)) ++i;
            else if (said[i] == "--id" && i + 1 < said.size()) item.id = short_name(said[++i]);
            else if (said[i].starts_with("--id=")) item.id = short_name(std::string_view(said[i]).substr(5));
            else if (!said[i].starts_with("--") && !std::exchange(titled, true)) item.title = short_name(said[i]);
        }
        return item;
    }

    /// The words of a command to its end, or to a brace that begins a block.
    Words words(bool active) {
        Words out;
        size_t size = 0;  // words may be variables that hold much
        for (; more() && tokens_[at_].kind == Token::Kind::word; ++at_) {
            if (!out.empty() && tokens_[at_].plain() == "{") break;
            if (out.empty() || (active && size < most_text)) size += add_word(out, tokens_[at_]);
        }
        return out;
    }

    /// Returns its size.
    size_t add_word(Words& out, const Token& token) {
        std::string word;
        bool is_there = false;
        for (const Segment& part : token.segments) {
            is_there = is_there || part.is_quoted || !part.is_variable;
            word += part.is_variable ? variables_[part.text] : part.text;
            if (word.size() > most_text) word.resize(most_text);  // variables may hold variables
        }
        const size_t size = word.size();
        if (is_there || size != 0) out.push_back(std::move(word));
        return size;
    }

    void assign(std::string_view text) {
        const size_t equals = text.find('=');
        if (equals == std::string_view::npos || variables_.size() > 1000) return;
        variables_[std::string(text.substr(0, equals))] = text.substr(equals + 1, 4096);
    }

    void execute(const Words& all) {
        static constexpr std::array<std::string_view, 3> kernels = {"linux", "linux16", "linuxefi"};
        static constexpr std::array<std::string_view, 3> ramdisks = {"initrd", "initrd16", "initrdefi"};
        static constexpr std::array<std::string_view, 3> modules = {"module", "module2", "xen_module"};
        if (all.empty()) return;
        const std::string& name = all[0];
        status_ = name != "false";
        if (name == "set" && all.size() > 1) assign(all[1]);
        else if (name == "unset" && all.size() > 1) variables_.erase(all[1]);
        else if (name == "load_env") load_environment();
        else if (name == "[" || name == "test")
            status_ = test({all.begin() + 1, all.end() - (all.size() > 1 && all.back() == "]" ? 1 : 0)});
        else if (name == "blscfg") add_loader_entries();
        else if (is_one_of(name, kernels)) set_kernel(all);
        else if (is_one_of(name, ramdisks)) add_ramdisks(all);
        else if (is_one_of(name, modules)) add_module(all);
        else if (name.find('=') != std::string::npos && name[0] != '-') assign(name);
    }

    void load_environment() {
        for (const auto& [name, value] : beside_.environment) variables_[name] = value;
    }

    bool test(Words said) const {
        const bool negated = !said.empty() && said[0] == "!";
        if (negated) said.erase(said.begin());
        return positive(said) != negated;
    }

    bool positive(const Words& said) const {
        if (said.size() == 1) return !said[0].empty();
        if (said.size() == 2) {
            if (said[0] == "-z") return said[1].empty();
            if (said[0] == "-n") return !said[1].empty();
            return (said[0] == "-s" || said[0] == "-f" || said[0] == "-e") && said[1].ends_with("/grubenv") &&
                   !beside_.environment.empty();
        }
        if (said.size() != 3) return false;
        if (said[1] == "=" || said[1] == "==") return said[0] == said[2];
        if (said[1] == "!=") return said[0] != said[2];
        const auto left = base::parse_number<int64_t>(said[0]), right = base::parse_number<int64_t>(said[2]);
        if (!left || !right) return false;
        if (said[1] == "-eq") return *left == *right;
        if (said[1] == "-ne") return *left != *right;
        if (said[1] == "-lt") return *left < *right;
        if (said[1] == "-gt") return *left > *right;
        return false;
    }

    void add_loader_entries() {
        if (!beside_.loader_entries || current_) return;
        for (BootEntry& entry : parse_loader_entries(beside_.loader_entries(), variables_)) {
            if (menu_.entries.size() >= most_entries) return;
            level_->push_back({entry.title, entry.id, menu_.entries.size(), {}});
            menu_.entries.push_back(std::move(entry));
        }
    }

    BootEntry* entry() { return current_ ? &menu_.entries[*current_] : nullptr; }

    /// `from` to the end as one line; words with blanks in them are quoted as the kernel understands it.
    static std::string line_of(const Words& all, size_t from) {
        std::string out;
        for (size_t i = from; i < all.size() && out.size() < most_args; ++i) {
            const bool blank = all[i].find(' ') != std::string::npos && all[i].find('"') == std::string::npos;
            out += (out.empty() ? "" : " ") + (blank ? "\"" + all[i] + "\"" : all[i]);
        }
        return without_controls(std::move(out));
    }

    void set_kernel(const Words& all) {
        if (entry() == nullptr || all.size() < 2) return;
        entry()->kernel = path_without_device(all[1]);
        entry()->args = line_of(all, 2);
    }

    void add_ramdisks(const Words& all) {
        if (entry() == nullptr) return;
        for (size_t i = 1; i < all.size(); ++i) {
            if (!all[i].starts_with("newc:")) add_ramdisk(*entry(), path_without_device(all[i]));
        }
    }

    /// An entry for a dom0: the first module is the kernel, behind it a word that stands for its name.
    void add_module(const Words& all) {
        size_t i = 1;
        while (i < all.size() && all[i].starts_with("--")) ++i;
        if (entry() == nullptr || i >= all.size()) return;
        if (!entry()->kernel.empty()) {
            add_ramdisk(*entry(), path_without_device(all[i]));
            return;
        }
        entry()->kernel = path_without_device(all[i]);
        if (i + 1 < all.size() && all[i + 1] == "placeholder") ++i;
        entry()->args = line_of(all, i + 1);
    }

    std::vector<Token> tokens_;
    const GrubSurroundings& beside_;
    size_t at_ = 0;
    int depth_ = 0;
    bool status_ = true;
    GrubEnvironment variables_ = {{"menuentry_id_option", "--id"}, {"feature_menuentry_id", "y"},
                                  {"grub_platform", "xen"},        {"feature_platform_search_hint", "y"},
                                  {"prefix", "/boot/grub"},        {"config_directory", "/boot/grub"}};
    BootMenu menu_;
    Item root_;
    std::vector<Item>* level_ = &root_.items;
    std::optional<size_t> current_;
};

}  // namespace

Outcome<BootMenu> parse_grub_script(std::string_view text, const GrubSurroundings& beside) {
    if (text.size() > most_text) return base::fail(Errc::toobig, "it has more than 1 MiB");
    return Interpreter(OTRY(split_script(text)), beside).run();
}

}  // namespace pygrub
