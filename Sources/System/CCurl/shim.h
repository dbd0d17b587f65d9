// libcurl's variadic functions, with the types that Swift can call: https://curl.se/libcurl/c/
#pragma once

#include <curl/curl.h>

static inline CURLcode millrace_curl_set_long(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode millrace_curl_set_offset(CURL *easy, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(easy, option, value);
}

// libcurl copies the text.
static inline CURLcode millrace_curl_set_text(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode millrace_curl_set_pointer(CURL *easy, CURLoption option, void *value) {
    return curl_easy_setopt(easy, option, value);
}

// For CURLOPT_WRITEFUNCTION and CURLOPT_HEADERFUNCTION, which share a type.
typedef size_t (*millrace_curl_data)(char *bytes, size_t size, size_t count, void *context);

static inline CURLcode millrace_curl_set_data(CURL *easy, CURLoption option, millrace_curl_data function) {
    return curl_easy_setopt(easy, option, function);
}

// Called each time before the request is put on a connection.
static inline CURLcode millrace_curl_set_before_request(CURL *easy, curl_prereq_callback function, void *context) {
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, context);
    return curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, function);
}

static inline CURLcode millrace_curl_get_long(CURL *easy, CURLINFO info, long *value) {
    return curl_easy_getinfo(easy, info, value);
}

// Microseconds for the times that end in _T, bytes for the sizes that do.
static inline CURLcode millrace_curl_get_offset(CURL *easy, CURLINFO info, curl_off_t *value) {
    return curl_easy_getinfo(easy, info, value);
}

static inline CURLcode millrace_curl_get_pointer(CURL *easy, CURLINFO info, void **value) {
    return curl_easy_getinfo(easy, info, (char **)value);
}

static inline CURLMcode millrace_curl_multi_set_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}

// The result of a finished transfer; CURLE_OK for other messages, which there are none of.
static inline CURLcode millrace_curl_message_result(const CURLMsg *message) { return message->data.result; }

// CURLOPT_PROTOCOLS and its successor: never anything but HTTP, and no redirect to elsewhere.
static inline CURLcode millrace_curl_only_http(CURL *easy) {
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}
