// Flat tensors whose memory comes and goes while views into them stay: what is gathered for a moment.
#pragma once

#include "ATen/ATen.h"

namespace orthant {

inline bool HasMemory(const at::Tensor& buffer) {
  return buffer.storage().nbytes() > 0;
}

inline void DropMemory(const at::Tensor& buffer) {
  c10::StorageImpl* storage = buffer.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(storage->allocator()->allocate(0));
  storage->set_nbytes(0);
}

// Uninitialised.
inline void GiveMemory(const at::Tensor& buffer) {
  c10::StorageImpl* storage = buffer.storage().unsafeGetStorageImpl();
  const size_t bytes = buffer.nbytes();
  storage->set_data_ptr_noswap(storage->allocator()->allocate(bytes));
  storage->set_nbytes(bytes);
}

}  // namespace orthant
