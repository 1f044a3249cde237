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

// kDevice and kHost: tensors that stay in memory; kHost's is pinned where `device` is a GPU.
std::unique_ptr<StateStore> MakeResidentStore(Tier tier, c10::Device device = c10::DeviceType::CPU);

// Slots of `host` for use on `device`, through staging buffers there (staged_store.h).
std::unique_ptr<StateStore> MakeStagedStore(std::unique_ptr<StateStore> host, c10::Device device,
                                            int buffers);

// kNvme, by a given engine. Throws StatusError as StateStore::Create does.
std::unique_ptr<StateStore> MakeNvmeStore(const StoreOptions& options,
                                          AsyncFile::Engine engine = AsyncFile::Engine::kAutomatic);

}  // namespace orthant
