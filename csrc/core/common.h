// What every core header needs. The core is compiled once per instruction set and once by nvcc, each time in a namespace of its own
// (QG_NAMESPACE), and uses no standard templates: a weak symbol that the linker shares could carry one CPU's instructions to another.
#pragma once
#include "../types.h"

#ifndef QG_NAMESPACE
#error "compile with -DQG_NAMESPACE=<a name of this object's own>"
#endif

// QG_LANES stands before an inner loop over neighbouring pixels whose turns do not touch each other: vector code on a CPU.
#ifdef __CUDACC__
#define QG_LANES
#else
#define QG_LANES _Pragma("GCC ivdep") _Pragma("GCC unroll 1")
#endif

// QG_HD: small, in line everywhere. QG_ROW: a function of its own; internal, so that it too is this object's alone. On a GPU a kernel then
// needs the registers of its largest row, not of what the compiler makes of all rows together.
#if defined(__CUDACC__) && !defined(QG_CUDA_ON_CPU)
#define QG_HD __host__ __device__ __forceinline__
#define QG_ROW static __host__ __device__ __noinline__
#else
#define QG_HD inline __attribute__((always_inline))
#define QG_ROW static __attribute__((noinline))
#endif

namespace QG_NAMESPACE {

QG_HD int min_of(int a, int b) { return a < b ? a : b; }
QG_HD int max_of(int a, int b) { return a > b ? a : b; }
QG_HD int ceil_div(int a, int b) { return (a + b - 1) / b; }

template <class Word>
QG_HD constexpr int bits_of() {
  return 8 * int(sizeof(Word));
}

// Sides of a mask in pixels; an image has depth 1.
struct Extent {
  int depth, height, width;
};

}  // namespace QG_NAMESPACE
