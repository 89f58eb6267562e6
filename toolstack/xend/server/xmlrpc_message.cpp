// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/xmlrpc_message.hpp"

#include <array>
#include <pugixml.hpp>

#include "lib/base/number.hpp"

namespace xend::xmlrpc {

using base::Errc;
using base::Outcome;
using Kind = Value::Kind;

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Looks at the markup alone, before anything is kept: no declaration, and elements no deeper and no more than they may be.
Outcome<> check_markup(std::string_view text, const Limits& limits) {
    constexpr size_t elements_a_value = 4;  // <member><name/><value><int/>, <param>: at most
    const size_t deepest = limits.depth * elements_a_value;
    size_t depth = 0, elements = 0;
    for (size_t at = text.find('<'); at != std::string_view::npos; at = text.find('<', at + 1)) {
        const char next = at + 1 < text.size() ? text[at + 1] : '\0';
        if (next == '?' && at == 0) continue;
        if (next == '/') {
            if (depth == 0) return base::fail(Errc::inval, "The XML is malformed: an end without a beginning");
            --depth;
            continue;
        }
        if (!is_name_start(next))
            return base::fail(Errc::inval, "The XML has a document type, a comment or another thing that no call needs");
        const size_t end = text.find('>', at);
        if (end == std::string_view::npos) return base::fail(Errc::inval, "The XML is malformed: it ends in an element's name");
        if (text[end - 1] != '/') ++depth;
        if (depth > deepest) return base::fail(Errc::toobig, "The call is nested too deeply");
        if (++elements > limits.values * elements_a_value) return base::fail(Errc::toobig, "The call has too many values");
    }
    return base::ok;
}

std::string trimmed(std::string_view text) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return std::string(text);
}

class Reader {
    Limits limits_;
    size_t values_ = 0;

    static base::Failure wrong(std::string text) { return base::fail(Errc::inval, std::move(text)); }

    /// The one element below `node`. Errors: there is none, or more than one, or text beside it.
    static Outcome<pugi::xml_node> only_child(const pugi::xml_node& node) {
        pugi::xml_node found;
        for (const pugi::xml_node& child : node.children()) {
            if (child.type() != pugi::node_element || found)
                return wrong(std::string("One element is wanted in <") + node.name() + ">");
            found = child;
        }
        if (found) return found;
        return wrong(std::string("<") + node.name() + "> is empty");
    }
    /// Blanks stand between elements, also where there are none.
    static bool is_nothing(const pugi::xml_node& node) {
        return node.type() == pugi::node_pcdata && trimmed(node.value()).empty();
    }
    /// The text below `node`, which has nothing else.
    static Outcome<std::string> text_of(const pugi::xml_node& node) {
        std::string out;
        for (const pugi::xml_node& child : node.children()) {
            if (child.type() != pugi::node_pcdata) return wrong(std::string("Text is wanted in <") + node.name() + ">");
            out += child.value();
        }
        return out;
    }

    static Outcome<Value> integer(const std::string& text) {
        std::string_view digits = text;
        if (digits.starts_with('+')) digits.remove_prefix(1);
        const auto number = base::parse_number<int64_t>(digits);
        if (!number || digits.starts_with('+')) return wrong("'" + text.substr(0, 40) + "' is no integer");
        return Value{Kind::integer, std::to_string(*number), {}, {}};
    }

    Outcome<Value> array(const pugi::xml_node& node, size_t depth) {
        const pugi::xml_node data = OTRY(only_child(node));
        if (std::string_view(data.name()) != "data") return wrong("<data> is wanted in <array>");
        Value out = Value::list();
        for (const pugi::xml_node& child : data.children())
            if (!is_nothing(child)) out.add(OTRY(value(child, depth + 1)));
        return out;
    }

    Outcome<Value> structure(const pugi::xml_node& node, size_t depth) {
        Value out = Value::record();
        for (const pugi::xml_node& member : node.children()) {
            if (is_nothing(member)) continue;
            const pugi::xml_node name = member.first_child(), item = name.next_sibling();
            if (std::string_view(member.name()) != "member" || std::string_view(name.name()) != "name" || !item ||
                item.next_sibling())
                return wrong("<member> with <name> and <value> is wanted in <struct>");
            const std::string key = OTRY(text_of(name));
            if (out.find(key) != nullptr) return wrong("<struct> has the member '" + key.substr(0, 40) + "' twice");
            out.add(key, OTRY(value(item, depth + 1)));
        }
        return out;
    }

public:
    explicit Reader(const Limits& limits) : limits_(limits) {}

    Outcome<Value> value(const pugi::xml_node& node, size_t depth) {
        if (std::string_view(node.name()) != "value") return wrong("<value> is wanted");
        if (depth > limits_.depth) return base::fail(Errc::toobig, "The call is nested too deeply");
        if (++values_ > limits_.values) return base::fail(Errc::toobig, "The call has too many values");
        const bool bare = !node.find_child([](const pugi::xml_node& n) { return n.type() == pugi::node_element; });
        if (bare) return Value::of_text(OTRY(text_of(node)));
        const pugi::xml_node inner = OTRY(only_child(node));
        const std::string_view type = inner.name();
        if (type == "array") return array(inner, depth);
        if (type == "struct") return structure(inner, depth);
        std::string text = OTRY(text_of(inner));
        if (type == "string") return Value::of_text(std::move(text));
        text = trimmed(text);
        if (type == "int" || type == "i4" || type == "i8") return integer(text);
        if (type == "boolean" && (text == "0" || text == "1")) return Value::of_flag(text == "1");
        if (type == "nil" && text.empty()) return Value{};
        if (type == "double" && base::parse_number<double>(text)) return Value{Kind::real, text, {}, {}};
        return wrong("<" + std::string(type.substr(0, 40)) + "> is of no type that is taken here, or has no value of it");
    }

    Outcome<Call> call(const pugi::xml_document& document) {
        const pugi::xml_node root = OTRY(only_child(document));
        if (std::string_view(root.name()) != "methodCall") return wrong("<methodCall> is wanted");
        const pugi::xml_node name = root.first_child(), params = name.next_sibling();
        if (std::string_view(name.name()) != "methodName" || (params && std::string_view(params.name()) != "params") ||
            params.next_sibling())
            return wrong("<methodName>, and <params> behind it, are wanted in <methodCall>");
        Call out;
        out.method = trimmed(OTRY(text_of(name)));
        if (out.method.empty() || out.method.size() > 200) return wrong("The method has no name that a method can have");
        for (const pugi::xml_node& param : params.children()) {
            if (is_nothing(param)) continue;
            if (std::string_view(param.name()) != "param") return wrong("<param> is wanted in <params>");
            const pugi::xml_node inner = OTRY(only_child(param));
            out.params.push_back(OTRY(value(inner, 1)));
        }
        return out;
    }
};

/// How many bytes of UTF-8 `text` begins with, of one character that XML may have; 0: none.
size_t character(std::string_view text) {
    const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
    const uint8_t first = byte(0);
    if (first < 0x80) return first >= 0x20 || first == '\t' || first == '\n' || first == '\r' ? 1 : 0;
    const size_t length = first >= 0xc2 && first < 0xe0   ? 2
                          : first >= 0xe0 && first < 0xf0 ? 3
                          : first >= 0xf0 && first < 0xf5 ? 4
                                                          : 0;
    for (size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xc0U) != 0x80) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;                                          // longer than needed
    if (first == 0xed && byte(1) >= 0xa0) return 0;                                         // half of a pair
    if (first == 0xef && byte(1) == 0xbf && byte(2) >= 0xbe) return 0;                      // no characters
    if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) >= 0x90)) return 0;  // outside
    return length;
}

void print_text(std::string& out, std::string_view text) {
    while (!text.empty()) {
        const size_t length = character(text);
        const char c = text.front();
        if (length == 0) out += '?';
        else if (c == '<') out += "&lt;";
        else if (c == '>') out += "&gt;";
        else if (c == '&') out += "&amp;";
        else if (c == '\r') out += "&#13;";  // a reader would take it for the end of a line
        else out += text.substr(0, length);
        text.remove_prefix(std::max<size_t>(length, 1));
    }
}

constexpr std::array<std::string_view, 5> scalar_tags = {"string", "int", "boolean", "double", "dateTime.iso8601"};

void print_value(std::string& out, const Value& value) {
    out += "<value>";
    if (value.kind == Kind::array) {
        out += "<array><data>";
        for (const Value& item : value.items) print_value(out, item);
        out += "</data></array>";
    } else if (value.kind == Kind::structure) {
        out += "<struct>";
        for (size_t i = 0; i < value.items.size(); ++i) {
            out += "<member><name>";
            print_text(out, value.names[i]);
            out += "</name>";
            print_value(out, value.items[i]);
            out += "</member>";
        }
        out += "</struct>";
    } else if (value.kind == Kind::nil) {
        out += "<nil/>";
    } else {
        const std::string_view tag = scalar_tags[static_cast<size_t>(value.kind)];
        out.append("<").append(tag).append(">");
        print_text(out, value.text);
        out.append("</").append(tag).append(">");
    }
    out += "</value>";
}

}  // namespace

const Value* Value::find(std::string_view name) const {
    for (size_t i = 0; i < names.size(); ++i)
        if (names[i] == name) return &items[i];
    return nullptr;
}

Outcome<Call> parse_call(std::string_view text, const Limits& limits) {
    if (text.size() > limits.bytes) return base::fail(Errc::toobig, "The call is too long");
    if (text.find('\0') != std::string_view::npos) return base::fail(Errc::inval, "The XML is malformed: it has a zero in it");
    OTRY(check_markup(text, limits));
    pugi::xml_document document;
    // Blanks between elements are nothing, those of a value that has nothing else are text.
    constexpr unsigned how = pugi::parse_escapes | pugi::parse_eol | pugi::parse_ws_pcdata_single;
    const auto parsed = document.load_buffer(text.data(), text.size(), how, pugi::encoding_utf8);
    if (!parsed) return base::fail(Errc::inval, std::string("The XML is malformed: ") + parsed.description());
    return Reader(limits).call(document);
}

std::string print_answer(const Value& value) {
    std::string out = "<?xml version=\"1.0\"?>\n<methodResponse><params><param>";
    print_value(out, value);
    return out + "</param></params></methodResponse>\n";
}

std::string print_fault(int code, const std::string& text) {
    std::string out = "<?xml version=\"1.0\"?>\n<methodResponse><fault>";
    print_value(out, Value::record().add("faultCode", Value::of_integer(code)).add("faultString", Value::of_text(text)));
    return out + "</fault></methodResponse>\n";
}

Value from_sxp(const proto::Sxp& sxp) {
    if (sxp.is_atom()) return Value::of_text(sxp.text());
    Value out = Value::list();
    for (const proto::Sxp& item : sxp.items()) out.add(from_sxp(item));
    return out;
}

Outcome<proto::Sxp> to_sxp(const Value& value) {
    if (value.is_scalar()) return proto::Sxp::atom(value.text);
    if (value.kind != Kind::array) return base::fail(Errc::inval, "Arrays and texts are wanted, as s-expressions have them");
    proto::Sxp out = proto::Sxp::list();
    for (const Value& item : value.items) out.add(OTRY(to_sxp(item)));
    return out;
}

}  // namespace xend::xmlrpc
