// Long-lived objects in an autograd context: stored as integers, since a context holds IValues only.
// The object must outlive the graph.
#pragma once

#include <cstdint>

#include "torch/csrc/autograd/custom_function.h"

namespace orthant {

template <typename T>
void SavePointer(torch::autograd::AutogradContext& ctx, const char* name, T* object) {
  ctx.saved_data[name] = static_cast<int64_t>(reinterpret_cast<intptr_t>(object));
}

template <typename T>
T* LoadPointer(torch::autograd::AutogradContext& ctx, const char* name) {
  return reinterpret_cast<T*>(static_cast<intptr_t>(ctx.saved_data[name].toInt()));
}

}  // namespace orthant
