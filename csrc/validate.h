// Checks that stand between Python and raw pointers.
#pragma once
#include <stdint.h>

#include <stdexcept>
#include <string>

#include "core/program.h"

namespace qg {

inline void require(bool holds, const std::string& wanted) {
  if (!holds) throw std::invalid_argument(wanted);
}

inline void check_extent(int64_t batch, int64_t depth, int64_t height, int64_t width) {
  require(batch >= 0 && depth >= 1 && height >= 1 && width >= 1, "sides of a mask must be >= 1");
  const int64_t most = INT32_MAX - 64;
  require(width <= most && depth <= most / height && depth * height <= most / (width / 32 + 1), "a mask must have fewer than 2^31 words");
}

inline void check_pointer(uintptr_t pointer, int64_t batch, const char* name) {
  require(pointer != 0 || batch == 0, std::string(name) + " must not be null");
}

inline void check_program(const QG_NAMESPACE::Program& program) {
  const int wrong = QG_NAMESPACE::wrong_step(program);
  require(wrong < 0, "step " + std::to_string(wrong) + " of the program cannot be run");
}

// One or two morph steps with one radius; op 0 means none.
inline QG_NAMESPACE::Program morph_program(int first, int second, int radius) {
  QG_NAMESPACE::Program program{};
  program.step[0] = {first, {radius}};
  program.step[1] = {second, {radius}};
  check_program(program);
  return program;
}

}  // namespace qg
