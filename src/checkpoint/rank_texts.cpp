#include "checkpoint/rank_texts.h"

#include <cstring>

#include "ATen/ATen.h"

namespace orthant {
namespace {

int64_t Words(size_t bytes) {
  return static_cast<int64_t>((bytes + 7) / 8);
}

at::Tensor Pack(const std::string& text, int64_t words) {
  at::Tensor packed = at::zeros({words}, at::kLong);
  if (!text.empty()) std::memcpy(packed.data_ptr(), text.data(), text.size());
  return packed;
}

std::string Unpack(const at::Tensor& packed, size_t bytes) {
  if (bytes == 0) return "";
  return {static_cast<const char*>(packed.data_ptr()), bytes};
}

at::Tensor Number(size_t value) {
  return at::full({1}, static_cast<int64_t>(value), at::kLong);
}

}  // namespace

std::vector<std::string> GatherTexts(const std::string& text, Communicator& world) {
  const at::Tensor own = Number(text.size());
  const at::Tensor sizes = at::empty({world.size()}, at::kLong);
  world.AllGather(sizes, own, "checkpoint.report_sizes");
  const int64_t words = Words(static_cast<size_t>(sizes.max().item<int64_t>()));
  const bool root = world.rank() == 0;
  const at::Tensor all = root ? at::empty({world.size() * words}, at::kLong) : at::Tensor();
  world.Gather(all, Pack(text, words), 0, "checkpoint.reports");
  std::vector<std::string> texts;
  for (int r = 0; root && r < world.size(); ++r) {
    texts.push_back(Unpack(all.narrow(0, r * words, words), static_cast<size_t>(sizes[r].item<int64_t>())));
  }
  return texts;
}

std::string BroadcastFromZero(const std::string& text, Communicator& world) {
  const at::Tensor size = Number(text.size());
  world.Broadcast(size, 0, "checkpoint.outcome_size");
  const auto bytes = static_cast<size_t>(size.item<int64_t>());
  const bool root = world.rank() == 0;
  const at::Tensor packed = Pack(root ? text : "", Words(bytes));
  world.Broadcast(packed, 0, "checkpoint.outcome");
  return Unpack(packed, bytes);
}

void SendText(const std::string& text, int to, Communicator& world) {
  world.Send(Number(text.size()), to, "checkpoint.list_size");
  world.Send(Pack(text, Words(text.size())), to, "checkpoint.list");
}

std::string RecvText(int from, Communicator& world) {
  const at::Tensor size = Number(0);
  world.Recv(size, from, "checkpoint.list_size");
  const auto bytes = static_cast<size_t>(size.item<int64_t>());
  const at::Tensor packed = at::empty({Words(bytes)}, at::kLong);
  world.Recv(packed, from, "checkpoint.list");
  return Unpack(packed, bytes);
}

}  // namespace orthant
