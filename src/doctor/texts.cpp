#include "doctor/texts.h"

#include <cstring>

#include "ATen/ATen.h"

namespace orthant::doctor {
namespace {

constexpr int64_t kWord = sizeof(int64_t);

at::Tensor Packed(const std::string& text, int64_t words) {
  at::Tensor packed = at::zeros({words}, at::kLong);
  std::memcpy(packed.data_ptr(), text.data(), text.size());
  return packed;
}

int64_t WordsFor(int64_t bytes) {
  return (bytes + kWord - 1) / kWord;
}

}  // namespace

std::vector<std::string> GatherTexts(const std::string& own, Communicator& world) {
  const at::Tensor length = at::full({1}, static_cast<int64_t>(own.size()), at::kLong);
  const at::Tensor lengths = at::zeros({world.size()}, at::kLong);
  world.AllGather(lengths, length, "doctor.lengths");
  const int64_t words = WordsFor(lengths.max().item<int64_t>());
  const at::Tensor packed = Packed(own, words);
  const at::Tensor all = world.rank() == 0 ? at::zeros({world.size() * words}, at::kLong) : at::Tensor();
  world.Gather(all, packed, 0, "doctor.texts");
  std::vector<std::string> texts;
  if (world.rank() != 0) return texts;
  for (int rank = 0; rank < world.size(); ++rank) {
    const auto* from = reinterpret_cast<const char*>(all.data_ptr<int64_t>() + rank * words);
    texts.emplace_back(from, static_cast<size_t>(lengths[rank].item<int64_t>()));
  }
  return texts;
}

std::string ShareText(const std::string& text, Communicator& world) {
  const at::Tensor length = at::full({1}, static_cast<int64_t>(text.size()), at::kLong);
  world.Broadcast(length, 0, "doctor.length");
  const auto bytes = length.item<int64_t>();
  const at::Tensor packed = world.rank() == 0 ? Packed(text, WordsFor(bytes)) : Packed("", WordsFor(bytes));
  world.Broadcast(packed, 0, "doctor.text");
  return {reinterpret_cast<const char*>(packed.data_ptr<int64_t>()), static_cast<size_t>(bytes)};
}

}  // namespace orthant::doctor
