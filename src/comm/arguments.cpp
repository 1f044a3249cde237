// The rules on the arguments of Communicator's operations; a broken one is a CommError that names label and
// values.
#include <algorithm>
#include <functional>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "orthant/comm/communicator.h"

namespace orthant {
namespace {

bool Supported(at::ScalarType dtype) {
  return dtype == at::kDouble || dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf ||
         dtype == at::kLong;
}

}  // namespace

void Communicator::Refuse(OpKind kind, Label label, const std::string& rule) const {
  throw CommError(absl::StrFormat("%s.%s '%s' on rank %d of %d: %s", name_, ToString(kind), ToString(label),
                                  rank_, size_, rule));
}

void Communicator::CheckTensor(OpKind kind, const char* which, const at::Tensor& tensor, Label label) const {
  if (!tensor.defined()) Refuse(kind, label, absl::StrFormat("the %s tensor is undefined", which));
  if (!tensor.is_contiguous()) {
    Refuse(kind, label,
           absl::StrFormat("the %s tensor must be contiguous (sizes %s, strides %s)", which,
                           c10::str(tensor.sizes()), c10::str(tensor.strides())));
  }
  if (!Supported(tensor.scalar_type())) {
    Refuse(kind, label,
           absl::StrFormat("dtype %s of the %s tensor is not one of fp64, fp32, bf16, fp16, int64",
                           DtypeName(tensor.scalar_type()), which));
  }
}

void Communicator::CheckRoot(OpKind kind, int root, Label label) const {
  if (root < 0 || root >= size_) {
    Refuse(kind, label, absl::StrFormat("root %d is not a rank of the group (0 to %d)", root, size_ - 1));
  }
}

Operation Communicator::InPlace(OpKind kind, const at::Tensor& tensor, ReduceOp reduce, int root,
                                Label label) const {
  CheckTensor(kind, "given", tensor, label);
  Operation op;
  op.kind = kind;
  op.reduce = reduce;
  op.dtype = tensor.scalar_type();
  op.peer = root;
  op.count = tensor.numel();
  op.output = tensor.data_ptr();
  op.input = op.output;
  op.label = label;
  return op;
}

Operation Communicator::Sliced(OpKind kind, const at::Tensor& output, const at::Tensor& input,
                               Label label) const {
  CheckTensor(kind, "output", output, label);
  CheckTensor(kind, "input", input, label);
  if (output.scalar_type() != input.scalar_type()) {
    Refuse(kind, label,
           absl::StrFormat("output is %s but input is %s", DtypeName(output.scalar_type()),
                           DtypeName(input.scalar_type())));
  }
  const int64_t in = input.numel();
  const int64_t out = output.numel();
  Operation op;
  op.kind = kind;
  op.dtype = input.scalar_type();
  op.input = input.data_ptr();
  op.output = output.data_ptr();
  op.label = label;
  switch (kind) {
    case OpKind::kAllGather:
      op.count = in;
      if (out != in * size_) {
        Refuse(kind, label,
               absl::StrFormat("output has %d elements, the %d inputs of %d need %d", out, size_, in,
                               in * size_));
      }
      break;
    case OpKind::kReduceScatter:
      op.count = out;
      if (in != out * size_) {
        Refuse(kind, label,
               absl::StrFormat("input has %d elements, the %d outputs of %d need %d", in, size_, out,
                               out * size_));
      }
      break;
    default:
      op.count = in / size_;
      if (in != out || in % size_ != 0) {
        Refuse(kind, label,
               absl::StrFormat("input (%d elements) and output (%d) must be equal and divisible by %d", in,
                               out, size_));
      }
      // Ranks write into each other's output while others still read the input.
      if (op.input == op.output && in != 0 && size_ > 1)
        Refuse(kind, label, "output and input must not alias");
  }
  return op;
}

Operation Communicator::Split(const at::Tensor& output, const std::vector<int64_t>& output_counts,
                              const at::Tensor& input, const std::vector<int64_t>& input_counts,
                              Label label) const {
  constexpr OpKind kKind = OpKind::kAllToAllSplit;
  CheckTensor(kKind, "output", output, label);
  CheckTensor(kKind, "input", input, label);
  if (output.scalar_type() != input.scalar_type()) {
    Refuse(kKind, label,
           absl::StrFormat("output is %s but input is %s", DtypeName(output.scalar_type()),
                           DtypeName(input.scalar_type())));
  }
  const auto check = [&](const char* which, const std::vector<int64_t>& counts, int64_t numel) {
    int64_t sum = 0;
    bool negative = false;
    for (const int64_t count : counts) {
      sum += count;
      negative |= count < 0;
    }
    if (static_cast<int>(counts.size()) != size_ || negative || sum != numel) {
      Refuse(kKind, label,
             absl::StrFormat("%s counts %s must be %d numbers >= 0 that add up to the tensor's %d", which,
                             c10::str(at::IntArrayRef(counts)), size_, numel));
    }
  };
  check("input", input_counts, input.numel());
  check("output", output_counts, output.numel());
  if (input.data_ptr() == output.data_ptr() && input.numel() != 0 && size_ > 1) {
    Refuse(kKind, label, "output and input must not alias");
  }
  Operation op;
  op.kind = kKind;
  op.dtype = input.scalar_type();
  op.input = input.data_ptr();
  op.output = output.data_ptr();
  op.input_counts = &input_counts;
  op.output_counts = &output_counts;
  op.label = label;
  return op;
}

Operation Communicator::Rooted(OpKind kind, const at::Tensor& output, const at::Tensor& input, int root,
                               Label label) const {
  CheckRoot(kind, root, label);
  const bool scatter = kind == OpKind::kScatter;
  const at::Tensor& share = scatter ? output : input;
  const at::Tensor& whole = scatter ? input : output;
  CheckTensor(kind, scatter ? "output" : "input", share, label);
  Operation op;
  op.kind = kind;
  op.peer = root;
  op.dtype = share.scalar_type();
  op.count = share.numel();
  op.label = label;
  void* whole_data = nullptr;
  if (rank_ == root) {
    CheckTensor(kind, scatter ? "input" : "output", whole, label);
    if (whole.scalar_type() != op.dtype || whole.numel() != op.count * size_) {
      Refuse(kind, label,
             absl::StrFormat("the root's tensor holds %d %s, %d shares of %d need %d %s", whole.numel(),
                             DtypeName(whole.scalar_type()), size_, op.count, op.count * size_,
                             DtypeName(op.dtype)));
    }
    whole_data = whole.data_ptr();
  }
  op.input = scatter ? whole_data : share.data_ptr();
  op.output = scatter ? share.data_ptr() : whole_data;
  return op;
}

Operation Communicator::PointToPoint(OpKind kind, const at::Tensor& tensor, int peer, Label label) const {
  if (peer < 0 || peer >= size_ || peer == rank_) {
    Refuse(kind, label,
           absl::StrFormat("peer %d is not another rank of the group (0 to %d)", peer, size_ - 1));
  }
  CheckTensor(kind, "given", tensor, label);
  Operation op;
  op.kind = kind;
  op.dtype = tensor.scalar_type();
  op.peer = peer;
  op.count = tensor.numel();
  if (kind == OpKind::kSend) {
    op.input = tensor.data_ptr();
  } else {
    op.output = tensor.data_ptr();
  }
  op.label = label;
  return op;
}

int Communicator::CheckMembers(const std::vector<int>& members, const std::string& subgroup) const {
  const auto mine = std::find(members.begin(), members.end(), rank_);
  const bool ascending =
      std::adjacent_find(members.begin(), members.end(), std::greater_equal<int>()) == members.end();
  if (mine == members.end() || !ascending || members.front() < 0 || members.back() >= size_) {
    throw CommError(
        absl::StrFormat("subgroup '%s' of %s on rank %d: members [%s] must be ascending ranks of the group "
                        "(0 to %d) and hold rank %d",
                        subgroup, name_, rank_, absl::StrJoin(members, ", "), size_ - 1, rank_));
  }
  return static_cast<int>(mine - members.begin());
}

}  // namespace orthant
