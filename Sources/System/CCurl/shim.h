// libcurl's variadic functions, with the types that Swift can call: https://curl.se/libcurl/c/
#pragma once

#include <curl/curl.h>
