// One datagram to a Unix socket, as the service manager's notification protocol wants it.
// Source: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
#pragma once

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

// `address` is a path, or a name in the abstract namespace behind an '@'. Both are NUL-terminated and not kept.
// Returns 0, or an errno.
static inline int millrace_notify(const char *address, const char *text) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t length = strlen(address);
    if (length < 2 || (address[0] != '/' && address[0] != '@')) return EINVAL;
    if (length >= sizeof name.sun_path) return ENAMETOOLONG;
    memcpy(name.sun_path, address, length);
    if (address[0] == '@') name.sun_path[0] = 0;
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return errno;
    // An abstract name is all of its bytes and no NUL; a path ends with its NUL.
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (address[0] == '@' ? 0 : 1));
    ssize_t sent;
    do {
        sent = sendto(descriptor, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&name, size);
    } while (sent < 0 && errno == EINTR);
    int failure = sent < 0 ? errno : 0;
    close(descriptor);
    return failure;
}

// Microseconds of the clock that the service manager compares reloads with.
static inline unsigned long long millrace_monotonic_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long long)now.tv_sec * 1000000ull + (unsigned long long)now.tv_nsec / 1000ull;
}
