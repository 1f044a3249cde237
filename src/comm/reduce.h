// Elementwise reduction of several buffers in rank order, the same bits whoever computes it.
// fp64, fp32 and int64 add in their own type; bf16 and fp16 add in fp32 and round once.
#pragma once

#include <cstdint>

#include "orthant/comm/operation.h"

namespace orthant {

// A reduction in instalments, for members on several hosts: it goes on from what those before have come to,
// and hands on what it has come to, both in the type that accumulates. Null: there is none.
struct Instalment {
  const void* before = nullptr;
  void* after = nullptr;
};

// Bytes of an element of an instalment.
int64_t InstalmentSize(c10::ScalarType dtype);

// For i in [begin, end): value = sources[0][i] op sources[1][i] op ...; targets[j][i] = value for every j.
// A target may be one of the sources (the same address), but must not overlap one otherwise.
void ReduceInto(c10::ScalarType dtype, ReduceOp op, const void* const* sources, int source_count,
                void* const* targets, int target_count, int64_t begin, int64_t end,
                const Instalment& instalment = {});

}  // namespace orthant
