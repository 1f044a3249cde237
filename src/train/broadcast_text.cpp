#include "orthant/train/broadcast_text.h"

#include "ATen/ATen.h"
#include "orthant/core/status.h"

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

namespace {

// The lowest rank that says `yes`; the group's size when none does.
int LowestWhere(bool yes, Communicator& group) {
  at::Tensor lowest = at::full({1}, yes ? group.rank() : group.size(), at::kLong);
  group.AllReduce(lowest, ReduceOp::kMin, "agree");
  return static_cast<int>(lowest.item<int64_t>());
}

}  // namespace

std::string FirstText(const std::string& mine, Communicator& group) {
  const int root = LowestWhere(!mine.empty(), group);
  return root == group.size() ? "" : BroadcastText(mine, root, group);
}

absl::Status AgreeOnStatus(const absl::Status& mine, Communicator& group) {
  const int root = LowestWhere(!mine.ok(), group);
  if (root == group.size()) return absl::OkStatus();
  at::Tensor code = at::full({1}, static_cast<int64_t>(ExitCodeOf(mine)), at::kLong);
  group.Broadcast(code, root, "agree.code");
  return StatusWithExitCode(static_cast<ExitCode>(code.item<int64_t>()),
                            BroadcastText(std::string(mine.message()), root, group));
}

}  // namespace orthant
