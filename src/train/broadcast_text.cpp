#include "orthant/train/broadcast_text.h"

#include "ATen/ATen.h"

namespace orthant {

std::string BroadcastText(const std::string& text, int root, Communicator& group) {
  at::Tensor length = at::full({1}, static_cast<int64_t>(text.size()), at::kLong);
  group.Broadcast(length, root, "text.length");
  // Bytes travel as int64 each: texts are short, and every backend carries int64.
  at::Tensor bytes = at::zeros({length.item<int64_t>()}, at::kLong);
  int64_t* data = bytes.data_ptr<int64_t>();
  if (group.rank() == root) {
    for (size_t i = 0; i < text.size(); ++i) data[i] = static_cast<unsigned char>(text[i]);
  }
  group.Broadcast(bytes, root, "text");
  std::string received;
  for (int64_t i = 0; i < bytes.numel(); ++i) received += static_cast<char>(data[i]);
  return received;
}

}  // namespace orthant
