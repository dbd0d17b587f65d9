// simdjson behind a C face (https://github.com/simdjson/simdjson/blob/master/doc/dom.md).
//
// A parse hands back the document as one flat array of nodes in document order; an array or object is
// followed by its children, and `count` says how many there are. An object's children alternate key, value.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CSJ_NULL = 0,
    CSJ_TRUE,
    CSJ_FALSE,
    CSJ_INT64,
    CSJ_UINT64, // only for values above INT64_MAX
    CSJ_DOUBLE,
    CSJ_STRING,
    CSJ_ARRAY,
    CSJ_OBJECT,
};

typedef struct {
    uint32_t kind;
    union {
        int64_t i;
        uint64_t u;
        double d;
        uint64_t count; // children of an array; members of an object; bytes of a string
    };
    const char *bytes; // of a string, UTF-8, not terminated; lives as long as the parser's next parse
} csj_node;

typedef struct csj_parser csj_parser;

csj_parser *csj_parser_create(void);
void csj_parser_destroy(csj_parser *parser);

// Parses `length` bytes. Returns the nodes (owned by the parser, valid until its next parse) and their number,
// or NULL with `*error` set to a static description.
const csj_node *csj_parse(
    csj_parser *parser, const uint8_t *bytes, size_t length, size_t *node_count, const char **error);

#ifdef __cplusplus
}
#endif
