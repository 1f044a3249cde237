#include "orthant/device/side_stream.h"

#include "ATen/ATen.h"
#include "c10/core/GradMode.h"
#include "c10/core/StreamGuard.h"
#include "c10/core/impl/VirtualGuardImpl.h"

namespace orthant {
namespace {

c10::Stream ComputeStream(c10::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

SideStream::Mark RecordOn(const c10::Stream& stream) {
  auto mark = std::make_shared<c10::Event>(stream.device_type());
  mark->record(stream);
  return mark;
}

}  // namespace

SideStream::SideStream(c10::Device device) : device_(device) {
  if (device.is_cpu()) return;
  stream_ = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
}

void SideStream::FollowCompute() {
  if (stream_) RecordOn(ComputeStream(stream_->device()))->block(*stream_);
}

SideStream::Mark SideStream::Copy(const at::Tensor& to, const at::Tensor& from) {
  const c10::NoGradGuard no_grad;
  if (!stream_) {
    to.copy_(from);
    return nullptr;
  }
  const c10::StreamGuard guard(*stream_);
  to.copy_(from, /*non_blocking=*/true);
  return RecordOn(*stream_);
}

void SideStream::ComputeWaits(const Mark& mark) const {
  if (stream_ && mark != nullptr) mark->block(ComputeStream(stream_->device()));
}

void SideStream::Finish() const {
  if (stream_) stream_->synchronize();
}

at::Tensor HostMemoryFor(c10::Device device, int64_t bytes) {
  return at::empty({bytes}, at::TensorOptions(at::kByte).pinned_memory(!device.is_cpu()));
}

}  // namespace orthant
