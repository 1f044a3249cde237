// A rank's view of one group of a local world.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "comm/local_group.h"
#include "comm/local_inbox.h"

namespace orthant::local {

class LocalCommunicator : public Communicator {
 public:
  LocalCommunicator(std::shared_ptr<Group> group, int rank);

  std::unique_ptr<Communicator> Subgroup(const std::vector<int>& members, std::string name) override;

 protected:
  std::string Confer(const std::string& text, const JudgeTexts& judge) override;
  void Do(const Operation& op, const at::Tensor& output, const at::Tensor& input) override;
  Work DoAsync(const Operation& op, const at::Tensor& output, const at::Tensor& input) override;

 private:
  std::shared_ptr<Group> group_;
  Group::Cursor cursor_;
  std::map<std::string, int> subgroups_made_;
};

}  // namespace orthant::local
