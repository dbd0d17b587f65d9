#include "csimdjson.h"

#include <simdjson.h>
#include <vector>

struct csj_parser {
    simdjson::dom::parser parser;
    std::vector<csj_node> nodes;
};

static void flatten(const simdjson::dom::element &element, std::vector<csj_node> &nodes) {
    using simdjson::dom::element_type;
    csj_node node = {};
    switch (element.type()) {
    case element_type::NULL_VALUE:
        node.kind = CSJ_NULL;
        break;
    case element_type::BOOL:
        node.kind = bool(element) ? CSJ_TRUE : CSJ_FALSE;
        break;
    case element_type::INT64:
        node.kind = CSJ_INT64;
        node.i = int64_t(element);
        break;
    case element_type::UINT64:
        node.kind = CSJ_UINT64;
        node.u = uint64_t(element);
        break;
    case element_type::DOUBLE:
        node.kind = CSJ_DOUBLE;
        node.d = double(element);
        break;
    case element_type::STRING: {
        std::string_view text = element;
        node.kind = CSJ_STRING;
        node.count = text.size();
        node.bytes = text.data();
        break;
    }
    case element_type::ARRAY: {
        size_t at = nodes.size();
        node.kind = CSJ_ARRAY;
        nodes.push_back(node);
        uint64_t count = 0;
        for (simdjson::dom::element child : simdjson::dom::array(element)) {
            flatten(child, nodes);
            count++;
        }
        nodes[at].count = count;
        return;
    }
    case element_type::OBJECT: {
        size_t at = nodes.size();
        node.kind = CSJ_OBJECT;
        nodes.push_back(node);
        uint64_t count = 0;
        for (simdjson::dom::key_value_pair field : simdjson::dom::object(element)) {
            csj_node key = {};
            key.kind = CSJ_STRING;
            key.count = field.key.size();
            key.bytes = field.key.data();
            nodes.push_back(key);
            flatten(field.value, nodes);
            count++;
        }
        nodes[at].count = count;
        return;
    }
    default:
        break;
    }
    nodes.push_back(node);
}

csj_parser *csj_parser_create(void) { return new csj_parser(); }

void csj_parser_destroy(csj_parser *parser) { delete parser; }

const csj_node *csj_parse(
    csj_parser *parser, const uint8_t *bytes, size_t length, size_t *node_count, const char **error) {
    simdjson::dom::element root;
    auto code = parser->parser.parse(bytes, length, true).get(root);
    if (code) {
        *error = simdjson::error_message(code);
        return nullptr;
    }
    parser->nodes.clear();
    flatten(root, parser->nodes);
    *node_count = parser->nodes.size();
    return parser->nodes.data();
}
