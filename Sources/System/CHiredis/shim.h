// hiredis 0.14 (Debian 12) and 1.x (later): https://github.com/redis/hiredis
#pragma once

#include <hiredis/hiredis.h>
