// toml++ behind a C face (https://marzer.github.io/tomlplusplus/, https://toml.io/en/v1.0.0).
//
// A parse hands back the document as one flat array of nodes in order of their names; a table or array is followed by
// its children, and `count` says how many there are. A table's children each carry their name.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CTOML_TABLE = 0,
    CTOML_ARRAY,
    CTOML_STRING,
    CTOML_INT,
    CTOML_DOUBLE,
    CTOML_BOOL,
    CTOML_OTHER, // dates and times
};

// Bytes in UTF-8, not terminated, that live as long as the document.
typedef struct {
    const char *bytes;
    size_t count;
} ctoml_text;

typedef struct {
    uint32_t kind;
    uint32_t line; // of the name, or of the value where it has none; from 1, 0 for the document itself
    ctoml_text name; // of a table's member
    ctoml_text text; // of a string
    int64_t number; // integer, or 0 or 1
    double real;
    size_t count; // children
} ctoml_node;

typedef struct ctoml_document ctoml_document;

// Parses `length` bytes; never NULL but for lack of memory.
ctoml_document *ctoml_parse(const char *bytes, size_t length);
void ctoml_free(ctoml_document *document);

// NULL when the text is not TOML: then `ctoml_error` says why and in which line.
const ctoml_node *ctoml_nodes(const ctoml_document *document, size_t *count);
ctoml_text ctoml_error(const ctoml_document *document, uint32_t *line);

#ifdef __cplusplus
}
#endif
