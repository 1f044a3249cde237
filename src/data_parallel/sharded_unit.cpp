#include "orthant/data_parallel/sharded_unit.h"

#include <algorithm>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "data_parallel/buffer.h"
#include "orthant/data_parallel/unit_split.h"
#include "orthant/memory/account.h"

namespace orthant {
namespace {

// Parameters start on 64-byte boundaries (fp32), which matrix kernels like.
constexpr int64_t kAlignment = 16;

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Decayed before undecayed, and what every tensor rank holds whole in the middle: each treatment is one
// stretch.
int LayoutClass(const ParameterSpec& spec) {
  if (spec.decay) return spec.replicated_over_tensor() ? 1 : 0;
  return spec.replicated_over_tensor() ? 2 : 3;
}

}  // namespace

ShardedUnit::ShardedUnit(std::string name, std::vector<ParameterSpec> specs, const UnitOptions& options)
    : name_(std::move(name)), options_(options) {
  TORCH_CHECK((options_.zero_stage > 0) == (options_.shard != nullptr), "unit ", name_,
              ": a sharding group belongs to ZeRO stages 1 to 3");
  TORCH_CHECK(options_.zero_stage < 2 || options_.queue != nullptr, "unit ", name_, " has no queue");
  const OperationScope operation(name_.c_str());
  LayOut(std::move(specs));
  Allocate();
  Draw();
  BuildSegments();
}

ShardedUnit::~ShardedUnit() = default;

void ShardedUnit::LayOut(std::vector<ParameterSpec> specs) {
  std::stable_sort(specs.begin(), specs.end(), [](const ParameterSpec& a, const ParameterSpec& b) {
    return LayoutClass(a) < LayoutClass(b);
  });
  for (ParameterSpec& spec : specs) {
    offsets_.push_back(elements_);
    const int64_t next = elements_ + RoundUp(spec.LocalElements(), kAlignment);
    if (spec.replicated_over_tensor()) {
      if (replicated_end_ == 0) replicated_begin_ = elements_;
      replicated_end_ = next;
    }
    elements_ = next;
    uses_ += spec.uses;
    parameters_.push_back(std::make_unique<Parameter>(std::move(spec)));
  }
  const int shards = options_.zero_stage == 0 ? 1 : options_.shard->size();
  elements_ = RoundUp(elements_, kAlignment * shards);
  const int64_t share = elements_ / shards;
  begin_ = options_.zero_stage == 0 ? 0 : share * options_.shard->rank();
  end_ = begin_ + share;
}

at::TensorOptions ShardedUnit::OnDevice(at::ScalarType dtype) const {
  return at::TensorOptions(dtype).device(options_.device);
}

void ShardedUnit::Allocate() {
  {
    const MemoryScope scope(MemoryTag::kParameters);
    values_ = at::zeros({elements_}, OnDevice(options_.dtype));
  }
  const MemoryScope scope(MemoryTag::kGradients);
  gradients_ = at::zeros({elements_}, OnDevice(options_.gradient_dtype));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const ParameterSpec& spec = parameters_[i]->spec();
    const std::vector<int64_t> shape = spec.LocalShape();
    const int64_t count = spec.LocalElements();
    parameters_[i]->Attach(values_.narrow(0, offsets_[i], count).view(shape),
                           gradients_.narrow(0, offsets_[i], count).view(shape), this);
  }
  if (options_.zero_stage < 2) return;
  DropMemory(gradients_);  // the views above stay
  gradients_present_ = false;
  gradient_shard_ = at::zeros({share()}, OnDevice(options_.gradient_dtype));
}

// The whole unit is drawn, and sliced: one unit at a time is whole, whatever the stage.
void ShardedUnit::Draw() {
  const bool sixteen = at::isReducedFloatingType(options_.dtype);
  at::Tensor whole = values_;
  if (sixteen) {
    const MemoryScope scope(MemoryTag::kTemporary);
    whole = at::zeros({elements_}, OnDevice(at::kFloat));
  }
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const ParameterSpec& spec = parameters_[i]->spec();
    Initialize(spec, options_.seed,
               whole.narrow(0, offsets_[i], spec.LocalElements()).view(spec.LocalShape()));
  }
  if (sixteen) {
    values_.copy_(whole);
    const MemoryScope scope(MemoryTag::kOptimizer);
    master_ = whole.narrow(0, begin_, share()).clone();
  }
  if (options_.zero_stage < 3) return;
  const MemoryScope scope(MemoryTag::kParameters);
  value_shard_ = values_.narrow(0, begin_, share()).clone();
  if (options_.parameters != nullptr) {
    slot_ = options_.parameters->Add(value_shard_);
    value_shard_ = at::Tensor();
  }
  ReleaseValues();
}

void ShardedUnit::BuildSegments() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const ParameterSpec& spec = parameters_[i]->spec();
    const int64_t next = i + 1 < parameters_.size() ? offsets_[i + 1] : elements_;
    Segment segment;
    segment.begin = std::max(offsets_[i], begin_) - begin_;
    segment.end = std::min(next, end_) - begin_;
    segment.decay = spec.decay;
    // Every logical element counts once: copies are left to tensor rank 0 and to the stage that owns them.
    segment.counts_in_norm = !spec.tied_copy && (!spec.replicated_over_tensor() ||
                                                 options_.tensor == nullptr || options_.tensor->rank() == 0);
    if (segment.begin >= segment.end) continue;
    Segment* last = segments_.empty() ? nullptr : &segments_.back();
    if (last != nullptr && last->decay == segment.decay && last->counts_in_norm == segment.counts_in_norm) {
      last->end = segment.end;
    } else {
      segments_.push_back(segment);
    }
  }
}

Parameter* ShardedUnit::Find(const std::string& logical_name) const {
  for (const auto& parameter : parameters_) {
    if (parameter->spec().name == logical_name) return parameter.get();
  }
  return nullptr;
}

at::Tensor ShardedUnit::gradients() const {
  return options_.zero_stage < 2 ? gradients_.narrow(0, begin_, share()) : gradient_shard_;
}

at::Tensor ShardedUnit::OpenValues() {
  if (options_.zero_stage < 3) return values_.narrow(0, begin_, share());
  return slot_ < 0 ? value_shard_ : options_.parameters->Open(slot_);
}

void ShardedUnit::CloseValues(bool changed) {
  if (slot_ >= 0) options_.parameters->Close(slot_, changed);
}

bool ShardedUnit::values_stay() const {
  return slot_ < 0 || options_.parameters->stays();
}

std::vector<ShareStretch> ShardedUnit::ShareStretches() const {
  std::vector<ShareStretch> stretches;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const int64_t from = std::max(offsets_[i], begin_);
    const int64_t to = std::min(offsets_[i] + parameters_[i]->spec().LocalElements(), end_);
    if (from < to)
      stretches.push_back({parameters_[i].get(), from - offsets_[i], to - offsets_[i], from - begin_});
  }
  return stretches;
}

void ShardedUnit::PrefetchValues() {
  if (slot_ >= 0) options_.parameters->Prefetch(slot_);
}

void ShardedUnit::StartShare() {
  if (options_.zero_stage != 1 && options_.zero_stage != 2) return;
  gather_ = options_.shard->AllGatherAsync(values_, values_.narrow(0, begin_, share()), "zero.share");
}

void ShardedUnit::FinishShare() {
  gather_.Wait();
  gather_ = Work();
}

std::vector<std::unique_ptr<ShardedUnit>> MakeUnits(const std::string& name, std::vector<ParameterSpec> specs,
                                                    const UnitOptions& options) {
  std::vector<std::vector<ParameterSpec>> split = SplitIntoUnits(
      specs,
      {options.bucket_bytes, options.tile_bytes, static_cast<int64_t>(c10::elementSize(options.dtype))});
  std::vector<std::unique_ptr<ShardedUnit>> units;
  for (size_t i = 0; i < split.size(); ++i) {
    units.push_back(std::make_unique<ShardedUnit>(split.size() == 1 ? name : absl::StrCat(name, "/", i),
                                                  std::move(split[i]), options));
  }
  return units;
}

}  // namespace orthant
