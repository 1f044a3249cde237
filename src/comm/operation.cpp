#include "orthant/comm/operation.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace orthant {

std::string ToString(const Label& label) {
  std::string text = label.what;
  if (label.layer >= 0) absl::StrAppend(&text, " layer=", label.layer);
  if (label.microbatch >= 0) absl::StrAppend(&text, " mb=", label.microbatch);
  return text;
}

const char* ToString(OpKind kind) {
  switch (kind) {
    case OpKind::kAllReduce:
      return "all_reduce";
    case OpKind::kReduce:
      return "reduce";
    case OpKind::kBroadcast:
      return "broadcast";
    case OpKind::kAllGather:
      return "all_gather";
    case OpKind::kReduceScatter:
      return "reduce_scatter";
    case OpKind::kAllToAll:
      return "all_to_all";
    case OpKind::kAllToAllSplit:
      return "all_to_all_split";
    case OpKind::kScatter:
      return "scatter";
    case OpKind::kGather:
      return "gather";
    case OpKind::kSend:
      return "send";
    case OpKind::kRecv:
      return "recv";
    case OpKind::kBarrier:
      return "barrier";
  }
  return "?";
}

const char* ToString(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return "sum";
    case ReduceOp::kMax:
      return "max";
    case ReduceOp::kMin:
      return "min";
  }
  return "?";
}

std::string DtypeName(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::ScalarType::Double:
      return "fp64";
    case c10::ScalarType::Float:
      return "fp32";
    case c10::ScalarType::BFloat16:
      return "bf16";
    case c10::ScalarType::Half:
      return "fp16";
    case c10::ScalarType::Long:
      return "int64";
    default:
      return c10::toString(dtype);
  }
}

std::string Describe(const Operation& op) {
  std::string text = absl::StrFormat("%s '%s'", ToString(op.kind), ToString(op.label));
  if (op.kind == OpKind::kBarrier) return text;
  absl::StrAppend(&text, " (");
  const bool reduces =
      op.kind == OpKind::kAllReduce || op.kind == OpKind::kReduce || op.kind == OpKind::kReduceScatter;
  if (reduces) absl::StrAppend(&text, ToString(op.reduce), ", ");
  if (op.peer >= 0 && !op.point_to_point()) absl::StrAppend(&text, "root ", op.peer, ", ");
  if (op.kind != OpKind::kAllToAllSplit) absl::StrAppend(&text, op.count, " ");
  absl::StrAppend(&text, DtypeName(op.dtype), ")");
  return text;
}

}  // namespace orthant
