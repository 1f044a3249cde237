// Letters: short texts between two ranks' hosts, beside all operations. The two ends of a lane of messages
// find each other by them, without either waiting.
#pragma once

#include <optional>
#include <string>

namespace orthant::nccl {

class Letters {
 public:
  virtual ~Letters() = default;
  // To a rank of the world; never waits. Of one key they keep their order. Any thread.
  virtual void Post(int to, const std::string& key, const std::string& text) = 0;
  // The next of this key from a rank of the world, if it has come. Any thread.
  virtual std::optional<std::string> Take(int from, const std::string& key) = 0;
};

}  // namespace orthant::nccl
