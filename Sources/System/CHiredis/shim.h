// hiredis 0.14 (Debian 12) and 1.x (later): https://github.com/redis/hiredis
#pragma once

#include <hiredis/hiredis.h>

// An array member, which Swift sees as a tuple.
static inline const char *mr_redis_error(const redisContext *context) { return context->errstr; }
