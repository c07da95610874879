#include <pthread.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "api.h"

namespace qg {
namespace {

struct Buffer {
  void* memory = nullptr;
  size_t bytes = 0;
  ~Buffer() { free(memory); }
};
thread_local Buffer buffer;

#ifdef __SANITIZE_ADDRESS__
constexpr bool kExact = true;  // so that a step behind the memory is seen
#else
constexpr bool kExact = false;
#endif

bool forked = false;
const int guard = pthread_atfork(nullptr, nullptr, [] { forked = true; });

}  // namespace

void* scratch(size_t bytes) {
  if (kExact || bytes > buffer.bytes) {
    free(buffer.memory);
    buffer.bytes = 0;
    buffer.memory = nullptr;
    const size_t rounded = kExact ? bytes : (bytes + 4095) / 4096 * 4096;
    if (posix_memalign(&buffer.memory, 4096, rounded) != 0) {
      buffer.memory = nullptr;
      return nullptr;
    }
    buffer.bytes = rounded;
  }
  return buffer.memory;
}

void large_pages(void* memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t small = 4096, begin = (reinterpret_cast<uintptr_t>(memory) + small - 1) / small * small;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) / small * small;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // where it is refused, nothing is lost
#else
  (void)memory, (void)bytes;
#endif
}

int usable_threads(int wanted) { return forked || guard != 0 || wanted < 1 ? 1 : wanted; }

}  // namespace qg
