// SideStream: copies between a device and main memory beside the computation. On the processor every copy is
// done when its call returns, and waits are nothing.
#pragma once

#include <memory>
#include <optional>

#include "ATen/core/Tensor.h"
#include "c10/core/Device.h"
#include "c10/core/Event.h"
#include "c10/core/Stream.h"

namespace orthant {

// A stream of the device beside the one that computes. Copies happen in the order given. The rule for memory:
// both ends of a copy are kept by the caller until the computing stream (ComputeWaits) or the host (Finish)
// has waited for it; LibTorch's allocator knows nothing of this stream. One thread at a time.
class SideStream {
 public:
  explicit SideStream(c10::Device device);
  c10::Device device() const { return device_; }

  // The end of a copy; default: nothing to wait for.
  using Mark = std::shared_ptr<c10::Event>;

  // Copies that are given from now on begin when the computing stream of the calling thread has done what it
  // has been given so far.
  void FollowCompute();
  // to = from, of equal sizes and types. Returns at once where the main memory of the two is pinned.
  Mark Copy(const at::Tensor& to, const at::Tensor& from);
  // What the calling thread's computing stream is given from now on begins when the copy is done.
  void ComputeWaits(const Mark& mark) const;
  // Waits for all copies.
  void Finish() const;

 private:
  c10::Device device_;
  std::optional<c10::Stream> stream_;  // none on the processor
};

// Uninitialised main memory of `bytes`, pinned where `device` is a GPU, so that copies need not wait.
at::Tensor HostMemoryFor(c10::Device device, int64_t bytes);

}  // namespace orthant
