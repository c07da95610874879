// Fixed-width integers, also where a run-time compiler has no headers of a host.
#pragma once
#ifdef __CUDACC_RTC__
using int8_t = signed char;
using uint8_t = unsigned char;
using int16_t = short;
using uint16_t = unsigned short;
using int32_t = int;
using uint32_t = unsigned int;
using int64_t = long long;
using uint64_t = unsigned long long;
using intptr_t = long long;
using uintptr_t = unsigned long long;
#define INT32_MAX 2147483647
#define INT32_MIN (-INT32_MAX - 1)
#else
#include <stddef.h>
#include <stdint.h>
#endif
