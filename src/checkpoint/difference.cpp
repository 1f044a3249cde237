#include "orthant/checkpoint/difference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <tuple>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "checkpoint/dtype_names.h"
#include "checkpoint/tensor_order.h"
#include "orthant/checkpoint/reader.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// One checkpoint's side of the comparison of one tensor.
struct Side {
  CheckpointReader* reader = nullptr;
  const LogicalTensor* tensor = nullptr;
  std::vector<std::byte> window;

  absl::Status Read(const CheckpointManifest::Key& key, int64_t begin, int64_t end) {
    window.assign(static_cast<size_t>((end - begin) * BytesOf(tensor->dtype)), std::byte{0});
    StateTarget target;
    target.tensor = key.first;
    target.kind = key.second;
    target.shape = tensor->shape;
    target.portion = WholeOf(tensor->shape);
    target.portion.begin = begin;
    target.portion.end = end;
    target.dtype = tensor->dtype;
    target.data = window.data();
    return reader->Load({target});
  }
  at::Tensor Values(int64_t count) {
    return at::from_blob(window.data(), {count}, at::TensorOptions().dtype(tensor->dtype)).to(at::kDouble);
  }
  bool SameBits(const Side& other, int64_t i) const {
    const auto size = static_cast<size_t>(BytesOf(tensor->dtype));
    return std::memcmp(window.data() + static_cast<size_t>(i) * size,
                       other.window.data() + static_cast<size_t>(i) * size, size) == 0;
  }
};

// Adds one window, whose first element is `begin`.
void CompareWindow(Side& a, Side& b, int64_t begin, int64_t count, TensorDifference* out) {
  const bool same_type = a.tensor->dtype == b.tensor->dtype;
  const at::Tensor wide_a = a.Values(count), wide_b = b.Values(count);
  const double* x = wide_a.const_data_ptr<double>();
  const double* y = wide_b.const_data_ptr<double>();
  for (int64_t i = 0; i < count; ++i) {
    const bool finite = std::isfinite(x[i]) && std::isfinite(y[i]);
    if (finite) out->magnitude = std::max({out->magnitude, std::abs(x[i]), std::abs(y[i])});
    const bool both_nan = std::isnan(x[i]) && std::isnan(y[i]);
    if (same_type ? a.SameBits(b, i) : x[i] == y[i] || both_nan) continue;
    const double difference = std::abs(x[i] - y[i]);
    if (++out->differing == 1 || (finite && difference > out->max_abs)) out->at = begin + i;
    if (finite) {
      out->max_abs = std::max(out->max_abs, difference);
    } else {
      ++out->not_finite;
    }
  }
}

// Calls with each window of the tensor, read on both sides, until it returns false.
absl::Status ForEachWindow(Side& a, Side& b, const CheckpointManifest::Key& key, int64_t window_bytes,
                           const std::function<bool(int64_t begin, int64_t count)>& call) {
  const int64_t elements = ElementsOf(a.tensor->shape);
  const int64_t step =
      std::max<int64_t>(window_bytes / std::max(BytesOf(a.tensor->dtype), BytesOf(b.tensor->dtype)), 1);
  for (int64_t begin = 0; begin < elements; begin += step) {
    const int64_t count = std::min(step, elements - begin);
    for (Side* side : {&a, &b}) {
      if (absl::Status read = side->Read(key, begin, begin + count); !read.ok()) return read;
    }
    if (!call(begin, count)) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorDifference> CompareTensor(Side& a, Side& b, const CheckpointManifest::Key& key,
                                               int64_t window_bytes,
                                               const std::function<void(int64_t)>& done) {
  TensorDifference out{key.first, key.second, a.tensor->dtype, b.tensor->dtype, a.tensor->shape};
  out.elements = ElementsOf(out.shape);
  int64_t same = 0;  // elements before the first window that differs: found without looking at values
  absl::Status status;
  if (out.dtype_a == out.dtype_b) {
    status = ForEachWindow(a, b, key, window_bytes, [&](int64_t begin, int64_t count) {
      if (a.window != b.window) return false;
      same += count;
      done(count);
      return true;
    });
  }
  if (!status.ok()) return status;
  if (same == out.elements) return out;
  status = ForEachWindow(a, b, key, window_bytes, [&](int64_t begin, int64_t count) {
    CompareWindow(a, b, begin, count, &out);
    if (begin >= same) done(count);
    return true;
  });
  if (!status.ok()) return status;
  return out;
}

bool WorseThan(const TensorDifference& a, const TensorDifference& b) {
  return std::make_tuple(a.not_finite > 0, a.max_rel(), a.max_abs, a.differing) >
         std::make_tuple(b.not_finite > 0, b.max_rel(), b.max_abs, b.differing);
}

// The tensors of both manifests in reading order, those of `kinds`.
std::vector<CheckpointManifest::Key> KeysOf(const CheckpointManifest& a, const CheckpointManifest& b,
                                            std::vector<StateKind> kinds) {
  if (kinds.empty()) {
    for (int k = 0; k < kStateKinds; ++k) kinds.push_back(static_cast<StateKind>(k));
  }
  CheckpointManifest both;
  for (const CheckpointManifest* manifest : {&a, &b}) {
    for (const auto& [key, tensor] : manifest->tensors) both.tensors[key];
  }
  std::vector<CheckpointManifest::Key> keys;
  for (const std::string& name : TensorNames(both)) {
    for (const StateKind kind : kinds) {
      if (both.tensors.count({name, kind}) > 0) keys.emplace_back(name, kind);
    }
  }
  return keys;
}

absl::Status NothingInCommon(const CheckpointDifference& d, const std::vector<StateKind>& kinds) {
  std::vector<std::string> names;
  for (const StateKind kind : kinds) names.emplace_back(ToString(kind));
  return DataError(
      absl::StrCat(d.a.folder, " and ", d.b.folder, " have no tensor in common",
                   names.empty() ? "" : absl::StrCat(" of the kinds ", absl::StrJoin(names, ","))));
}

}  // namespace

absl::StatusOr<CheckpointDifference> DiffCheckpoints(const std::string& step_folder_a,
                                                     const std::string& step_folder_b,
                                                     const DiffOptions& options) {
  absl::StatusOr<std::unique_ptr<CheckpointReader>> reader_a = CheckpointReader::Open(step_folder_a);
  if (!reader_a.ok()) return reader_a.status();
  absl::StatusOr<std::unique_ptr<CheckpointReader>> reader_b = CheckpointReader::Open(step_folder_b);
  if (!reader_b.ok()) return reader_b.status();
  const CheckpointManifest& manifest_a = (*reader_a)->manifest();
  const CheckpointManifest& manifest_b = (*reader_b)->manifest();
  CheckpointDifference out;
  out.a = {step_folder_a, manifest_a.step};
  out.b = {step_folder_b, manifest_b.step};

  std::vector<CheckpointManifest::Key> common;
  for (const CheckpointManifest::Key& key : KeysOf(manifest_a, manifest_b, options.kinds)) {
    const auto in_a = manifest_a.tensors.find(key), in_b = manifest_b.tensors.find(key);
    const std::vector<int64_t> none;
    const auto& shape_a = in_a == manifest_a.tensors.end() ? none : in_a->second.shape;
    const auto& shape_b = in_b == manifest_b.tensors.end() ? none : in_b->second.shape;
    const bool in_both = in_a != manifest_a.tensors.end() && in_b != manifest_b.tensors.end();
    if (!in_both || shape_a != shape_b) {
      out.unmatched.push_back({key.first, key.second, shape_a, shape_b});
    } else {
      common.push_back(key);
      out.elements += ElementsOf(shape_a);
    }
  }
  if (common.empty() && out.unmatched.empty()) return NothingInCommon(out, options.kinds);
  int64_t seen = 0;
  const auto done = [&](int64_t elements) {
    seen += elements;
    if (options.progress) options.progress(seen, out.elements);
  };
  Side a{reader_a->get(), nullptr, {}}, b{reader_b->get(), nullptr, {}};
  for (const CheckpointManifest::Key& key : common) {
    a.tensor = &manifest_a.tensors.at(key);
    b.tensor = &manifest_b.tensors.at(key);
    absl::StatusOr<TensorDifference> difference = CompareTensor(a, b, key, options.window_bytes, done);
    if (!difference.ok()) return difference.status();
    ++out.compared;
    if (difference->differing > 0) {
      out.differences.push_back(*std::move(difference));
    } else if (difference->dtype_a != difference->dtype_b) {
      ++out.other_dtype;
    }
  }
  std::stable_sort(out.differences.begin(), out.differences.end(), WorseThan);
  return out;
}

}  // namespace orthant
