#include <pthread.h>
#include <stdlib.h>

#include "api.h"

namespace qg {
namespace {

struct Buffer {
  void* memory = nullptr;
  size_t bytes = 0;
  ~Buffer() { free(memory); }
};
thread_local Buffer buffer;

bool forked = false;
const int guard = pthread_atfork(nullptr, nullptr, [] { forked = true; });

}  // namespace

void* scratch(size_t bytes) {
  if (bytes > buffer.bytes) {
    free(buffer.memory);
    buffer.bytes = 0;
    buffer.memory = nullptr;
    const size_t rounded = (bytes + 4095) / 4096 * 4096;
    if (posix_memalign(&buffer.memory, 4096, rounded) != 0) {
      buffer.memory = nullptr;
      return nullptr;
    }
    buffer.bytes = rounded;
  }
  return buffer.memory;
}

int usable_threads(int wanted) { return forked || guard != 0 || wanted < 1 ? 1 : wanted; }

}  // namespace qg
