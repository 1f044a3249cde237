// Letters between ranks that are threads.
#include "support/fake_nccl.h"

namespace orthant::testing {

class FakeLetters : public nccl::Letters {
 public:
  FakeLetters(FakeNccl* all, int rank) : all_(all), rank_(rank) {}

  void Post(int to, const std::string& key, const std::string& text) override {
    const std::lock_guard lock(all_->letters_mutex_);
    all_->letters_[Box(rank_, to, key)].push_back(text);
  }
  std::optional<std::string> Take(int from, const std::string& key) override {
    const std::lock_guard lock(all_->letters_mutex_);
    std::deque<std::string>& box = all_->letters_[Box(from, rank_, key)];
    if (box.empty()) return std::nullopt;
    std::string text = std::move(box.front());
    box.pop_front();
    return text;
  }

 private:
  static std::string Box(int from, int to, const std::string& key) {
    return std::to_string(from) + ">" + std::to_string(to) + " " + key;
  }

  FakeNccl* all_;
  int rank_;
};

std::unique_ptr<nccl::Letters> FakeNccl::MakeLetters(int rank) {
  return std::make_unique<FakeLetters>(this, rank);
}

}  // namespace orthant::testing
