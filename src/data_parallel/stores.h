// The stores behind StateStore, one a kind of tier.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "orthant/core/async_file.h"
#include "orthant/data_parallel/state_store.h"

namespace orthant {

// Throws std::logic_error unless `initial` is [n] and contiguous.
void CheckInitial(const at::Tensor& initial);

// kDevice and kHost: tensors that stay in memory.
std::unique_ptr<StateStore> MakeResidentStore(Tier tier);

// kNvme, by a given engine. Throws StatusError as StateStore::Create does.
std::unique_ptr<StateStore> MakeNvmeStore(const StoreOptions& options,
                                          AsyncFile::Engine engine = AsyncFile::Engine::kAutomatic);

}  // namespace orthant
