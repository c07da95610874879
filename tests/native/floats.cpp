// The functions of core/floats.h over arrays, for test_floats.py.
#include "../../csrc/core/floats.h"

using namespace QG_NAMESPACE;

namespace {

template <class F>
void each(const float* x, float* y, int64_t n, F f) {
  for (int64_t i = 0; i < n; i += kLanes) store(y + i, f(load(x + i)));
}

}  // namespace

// n is a multiple of 16.
extern "C" void exp_of_all(const float* x, float* y, int64_t n) {
  each(x, y, n, [](Floats v) { return exp_of(v); });
}
extern "C" void log1p_of_all(const float* x, float* y, int64_t n) {
  each(x, y, n, [](Floats v) { return log1p_of(v); });
}
extern "C" void log_of_all(const float* x, float* y, int64_t n) {
  each(x, y, n, [](Floats v) { return log_of(v); });
}
extern "C" void sigmoid_of_all(const float* x, float* y, int64_t n) {
  each(x, y, n, [](Floats v) { return Sigmoid(v).p; });
}
extern "C" void flat_sigmoid_of_all(const float* x, float* y, int64_t n) {
  each(x, y, n, [](Floats v) { return Sigmoid::flat(v).p; });
}
extern "C" void slope_of_all(const float* x, float* y, int64_t n) {
  each(x, y, n, [](Floats v) { return Sigmoid(v).slope; });
}
extern "C" int lanes() { return kLanes; }
