// What the module that is built by nvcc does. Each returns a cudaError_t as int.
#pragma once
#include <stddef.h>

#include "../types.h"

namespace qg {

// How kernel `name` is run; `task` points to task_bytes bytes of its first parameter, `work` to a Work.
struct Call {
  const char* name;
  unsigned blocks, threads;
  size_t shared;
  void *task, *work;
  size_t task_bytes;
  int device;
};

constexpr int kUnknown = -1;  // no kernel of that name with a task of that size
int launch(const Call& call, void* stream);

// Of a device: processors, bytes of shared memory a block can have, and a processor has.
int machine(int device, int (&found)[3]);

const char* error_name(int error);

}  // namespace qg
