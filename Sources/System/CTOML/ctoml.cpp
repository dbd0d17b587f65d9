#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include "ctoml.h"

#include <toml++/toml.h>

#include <new>
#include <string>
#include <string_view>
#include <vector>

struct ctoml_document {
    toml::parse_result result; // owns the texts
    std::vector<ctoml_node> nodes;
    std::string error;
    uint32_t error_line = 0;
};

namespace {
ctoml_text view(std::string_view text) { return {text.data(), text.size()}; }

// Tables do not keep the order they were written in; members come by name, each with its line.
void append(std::vector<ctoml_node> &nodes, const toml::node &node, std::string_view name, uint32_t line) {
    ctoml_node out{};
    out.kind = CTOML_OTHER;
    out.line = line;
    out.name = view(name);
    if (auto table = node.as_table()) {
        out.kind = CTOML_TABLE;
        out.count = table->size();
        nodes.push_back(out);
        for (auto &&[key, value] : *table) append(nodes, value, key.str(), key.source().begin.line);
        return;
    }
    if (auto array = node.as_array()) {
        out.kind = CTOML_ARRAY;
        out.count = array->size();
        nodes.push_back(out);
        for (auto &&value : *array) append(nodes, value, {}, value.source().begin.line);
        return;
    }
    if (auto text = node.as_string()) {
        out.kind = CTOML_STRING;
        out.text = view(text->get());
    } else if (auto integer = node.as_integer()) {
        out.kind = CTOML_INT;
        out.number = integer->get();
    } else if (auto real = node.as_floating_point()) {
        out.kind = CTOML_DOUBLE;
        out.real = real->get();
    } else if (auto boolean = node.as_boolean()) {
        out.kind = CTOML_BOOL;
        out.number = boolean->get() ? 1 : 0;
    }
    nodes.push_back(out);
}
} // namespace

ctoml_document *ctoml_parse(const char *bytes, size_t length) {
    auto result = toml::parse(std::string_view(bytes, length), std::string_view{});
    auto document = new (std::nothrow) ctoml_document{std::move(result), {}, {}, 0};
    if (!document) return nullptr;
    if (document->result) {
        append(document->nodes, document->result.table(), {}, 0);
    } else {
        document->error = std::string(document->result.error().description());
        document->error_line = document->result.error().source().begin.line;
    }
    return document;
}

void ctoml_free(ctoml_document *document) { delete document; }

const ctoml_node *ctoml_nodes(const ctoml_document *document, size_t *count) {
    *count = document->nodes.size();
    return document->nodes.empty() ? nullptr : document->nodes.data();
}

ctoml_text ctoml_error(const ctoml_document *document, uint32_t *line) {
    *line = document->error_line;
    return view(document->error);
}
