// A rank's view of one group of the nccl backend: tensors on the device go over NCCL, the others to the
// communicator of the same group beneath, between hosts.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "comm/nccl_context.h"
#include "orthant/comm/communicator.h"

namespace orthant::nccl {

class NcclCommunicator : public Communicator {
 public:
  // `host`: the same members, on main memory. Collective over them. CommError when NCCL's communicator cannot
  // be made. `parent`: of the same members, to split from; null: a new one.
  NcclCommunicator(std::shared_ptr<Context> context, std::unique_ptr<Communicator> host, bool check,
                   Lane* parent = nullptr);
  ~NcclCommunicator() override;

  std::unique_ptr<Communicator> Subgroup(const std::vector<int>& members, std::string name) override;

 protected:
  std::string Confer(const std::string& text, const JudgeTexts& judge) override;
  void Do(const Operation& op, const at::Tensor& output, const at::Tensor& input) override;
  Work DoAsync(const Operation& op, const at::Tensor& output, const at::Tensor& input) override;
  bool StreamOrdered(const at::Tensor& output, const at::Tensor& input) const override;

 private:
  void Compare(const Operation& op);
  const std::shared_ptr<Lane>& MessageLane(const Operation& op);

  std::shared_ptr<Context> context_;
  std::unique_ptr<Communicator> host_;
  bool check_;
  int instance_;                // among this rank's groups of this name and these members
  std::shared_ptr<Lane> lane_;  // null in a group of one
  std::map<std::pair<int, bool>, std::shared_ptr<Lane>> messages_;  // by peer, and whether we send
};

}  // namespace orthant::nccl
