#include "orthant/train/run_state.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

// Stretches are split among the ranks that hold them alike at multiples of this many elements.
constexpr int64_t kSplitAlignment = 1024;

// The part of [begin, end) that this one of `parts` ranks writes.
std::pair<int64_t, int64_t> PartOf(int64_t begin, int64_t end, int64_t parts, int64_t mine) {
  const int64_t even = (end - begin + parts - 1) / parts;
  const int64_t step = (even + kSplitAlignment - 1) / kSplitAlignment * kSplitAlignment;
  return {std::min(end, begin + mine * step), std::min(end, begin + (mine + 1) * step)};
}

// The stretch of a share that this rank writes; empty where others do.
ShareStretch Written(const ShardedUnit& unit, ShareStretch stretch) {
  const ParameterSpec& spec = stretch.parameter->spec();
  const auto place = [](const Communicator* group) {
    return group == nullptr ? std::pair<int64_t, int64_t>{1, 0}
                            : std::pair<int64_t, int64_t>{group->size(), group->rank()};
  };
  auto [parts, mine] = place(unit.replica());
  if (spec.replicated_over_tensor()) {
    const auto [tensor_parts, tensor_mine] = place(unit.tensor());
    mine = mine * tensor_parts + tensor_mine;
    parts *= tensor_parts;
  }
  const auto [begin, end] =
      spec.tied_copy ? std::pair{stretch.end, stretch.end} : PartOf(stretch.begin, stretch.end, parts, mine);
  stretch.offset += begin - stretch.begin;
  stretch.begin = begin;
  stretch.end = end;
  return stretch;
}

// State elsewhere, opened at the first of the uses that were announced and closed after the last.
class OpenedOnce {
 public:
  OpenedOnce(std::function<at::Tensor()> open, std::function<void()> close)
      : open_(std::move(open)), close_(std::move(close)) {}
  // Of memory that stays when it is closed.
  at::Tensor Staying() const {
    at::Tensor tensor = open_();
    close_();
    return tensor;
  }
  void Announce() { ++uses_; }
  void Copy(int64_t from, int64_t bytes, std::byte* to) {
    if (!tensor_.defined()) tensor_ = open_();
    at::from_blob(to, {bytes}, at::kByte).copy_(tensor_.view(at::kByte).narrow(0, from, bytes));
    if (--uses_ > 0) return;
    tensor_ = at::Tensor();
    close_();
  }

 private:
  std::function<at::Tensor()> open_;
  std::function<void()> close_;
  at::Tensor tensor_;
  int uses_ = 0;
};

// One kind of state of a unit: memory that stays, or what opens it.
struct Source {
  StateKind kind;
  at::ScalarType dtype;
  int64_t offset = 0;       // of the share, in elements of what is opened
  at::Tensor staying = {};  // undefined: opened for its use
  std::shared_ptr<OpenedOnce> opened = nullptr;
};

Source ValuesOf(ShardedUnit& unit) {
  Source source{StateKind::kParameter, unit.dtype()};
  source.opened = std::make_shared<OpenedOnce>([&unit] { return unit.OpenValues(); },
                                               [&unit] { unit.CloseValues(/*changed=*/false); });
  if (unit.values_stay()) source.staying = source.opened->Staying();
  return source;
}

// Moments, and masters under 16-bit values.
std::vector<Source> StateOf(AdamW& optimizer, int index, const ShardedUnit& unit) {
  std::vector<Source> sources;
  const auto opened =
      std::make_shared<OpenedOnce>([&optimizer, index] { return optimizer.OpenState(index); },
                                   [&optimizer, index] { optimizer.CloseState(index, /*changed=*/false); });
  const bool masters = at::isReducedFloatingType(unit.dtype());
  const at::ScalarType dtype = masters ? at::kFloat : unit.dtype();
  const at::Tensor staying = optimizer.store().stays() ? opened->Staying() : at::Tensor();
  constexpr std::array kKinds = {StateKind::kFirstMoment, StateKind::kSecondMoment, StateKind::kMaster};
  for (int64_t k = 0; k < (masters ? 3 : 2); ++k) {
    Source source{kKinds[static_cast<size_t>(k)], dtype, k * unit.share()};
    source.staying = staying;
    source.opened = opened;
    sources.push_back(std::move(source));
  }
  return sources;
}

StatePiece PieceOf(const ShareStretch& stretch, const Source& source, int unit) {
  const ParameterSpec& spec = stretch.parameter->spec();
  StatePiece piece;
  piece.tensor = spec.name;
  piece.kind = source.kind;
  piece.dtype = source.dtype;
  piece.shape = spec.shape;
  piece.portion = PortionOf(spec, stretch.begin, stretch.end);
  piece.unit = unit;
  const auto size = static_cast<int64_t>(c10::elementSize(source.dtype));
  const int64_t from = source.offset + stretch.offset, count = stretch.end - stretch.begin;
  if (source.staying.defined()) {
    const at::Tensor part = source.staying.narrow(0, from, count);
    if (part.device().is_cpu()) {
      piece.data = static_cast<const std::byte*>(part.data_ptr());
    } else {
      piece.source = part;
    }
  } else {
    source.opened->Announce();
    piece.fetch = [opened = source.opened, from, count, size](std::byte* to) {
      opened->Copy(from * size, count * size, to);
    };
  }
  return piece;
}

// What is read into `memory`, the whole share of one kind.
void AddTargets(const ShardedUnit& unit, StateKind stored, const at::Tensor& memory,
                std::vector<StateTarget>& targets) {
  const auto size = static_cast<int64_t>(memory.itemsize());
  for (const ShareStretch& stretch : unit.ShareStretches()) {
    const ParameterSpec& spec = stretch.parameter->spec();
    targets.push_back({spec.name, stored, spec.shape, PortionOf(spec, stretch.begin, stretch.end),
                       memory.scalar_type(),
                       static_cast<std::byte*>(memory.data_ptr()) + stretch.offset * size});
  }
}

// The stored kind that parameters of `dtype` are read from: the stored parameters when they are of this type,
// else what is most exact.
StateKind StoredParameters(const CheckpointManifest& manifest, const std::string& name,
                           at::ScalarType dtype) {
  const auto parameter = manifest.tensors.find({name, StateKind::kParameter});
  if (parameter != manifest.tensors.end() && parameter->second.dtype == dtype) return StateKind::kParameter;
  return manifest.tensors.count({name, StateKind::kMaster}) > 0 ? StateKind::kMaster : StateKind::kParameter;
}

// What is read into: the tensor itself, or a copy of it in main memory where it lies on a GPU.
at::Tensor InMainMemory(const at::Tensor& tensor) {
  return tensor.to(at::kCPU);  // itself when it is there
}

void PutBack(const at::Tensor& read, const at::Tensor& tensor) {
  if (!read.is_same(tensor)) tensor.copy_(read);
}

absl::Status LoadUnit(ShardedUnit& unit, AdamW& optimizer, int index, CheckpointReader& reader, bool all) {
  if (unit.ShareStretches().empty()) return absl::OkStatus();
  const std::string& name = unit.ShareStretches().front().parameter->spec().name;
  const int64_t share = unit.share();
  std::vector<StateTarget> targets;
  const at::Tensor open_values = unit.OpenValues(), values = InMainMemory(open_values);
  AddTargets(unit, StoredParameters(reader.manifest(), name, values.scalar_type()), values, targets);
  const at::Tensor open_state = optimizer.OpenState(index), state = InMainMemory(open_state);
  if (state.numel() > 2 * share) {
    const StateKind kind = StoredParameters(reader.manifest(), name, at::kFloat);
    AddTargets(unit, kind, state.narrow(0, 2 * share, share), targets);
  }
  if (all) {
    AddTargets(unit, StateKind::kFirstMoment, state.narrow(0, 0, share), targets);
    AddTargets(unit, StateKind::kSecondMoment, state.narrow(0, share, share), targets);
  }
  absl::Status loaded = reader.Load(targets);
  PutBack(values, open_values);
  PutBack(state, open_state);
  optimizer.CloseState(index, /*changed=*/true);
  unit.CloseValues(/*changed=*/true);
  return loaded;
}

}  // namespace

std::vector<StatePiece> CollectState(const ParallelModel& model, AdamW& optimizer, bool all) {
  std::vector<StatePiece> pieces;
  for (size_t u = 0; u < model.units().size(); ++u) {
    ShardedUnit& unit = *model.units()[u];
    const int index = static_cast<int>(u);
    std::vector<Source> sources = {ValuesOf(unit)};
    if (all) {
      for (Source& source : StateOf(optimizer, index, unit)) sources.push_back(std::move(source));
    }
    for (const ShareStretch& stretch : unit.ShareStretches()) {
      const ShareStretch mine = Written(unit, stretch);
      if (mine.begin >= mine.end) continue;
      for (const Source& source : sources) pieces.push_back(PieceOf(mine, source, index));
    }
  }
  return pieces;
}

absl::Status LoadState(ParallelModel& model, AdamW& optimizer, CheckpointReader& reader, bool all) {
  absl::Status first;
  for (size_t u = 0; u < model.units().size(); ++u) {
    first.Update(LoadUnit(*model.units()[u], optimizer, static_cast<int>(u), reader, all));
    if (!first.ok()) break;
  }
  model.GatherParameters();
  return first;
}

nlohmann::ordered_json ToJson(const Progress& p) {
  nlohmann::ordered_json skipped = nlohmann::ordered_json::array();
  for (const SkippedBatches& s : p.skipped) {
    skipped.push_back({{"step", s.step},
                       {"first", s.first},
                       {"count", s.count},
                       {"reason", s.reason},
                       {"rolled_back", s.rolled_back}});
  }
  return {{"step", p.step},
          {"updates", p.updates},
          {"batches_passed", p.batches_passed},
          {"loss_scale",
           {{"active", p.loss_scale_active},
            {"value", p.loss_scale.value},
            {"finite_steps", p.loss_scale.finite_steps},
            {"tolerance", p.loss_scale.tolerance},
            {"skipped", p.loss_scale.skipped}}},
          {"recent_losses", p.recent_losses},
          {"skipped", skipped}};
}

absl::StatusOr<Progress> ProgressFromJson(const nlohmann::ordered_json& run, const std::string& origin) {
  try {
    const nlohmann::ordered_json& json = run.at("progress");
    Progress p;
    p.step = json.at("step").get<int64_t>();
    p.updates = json.at("updates").get<int64_t>();
    p.batches_passed = json.at("batches_passed").get<int64_t>();
    const nlohmann::ordered_json& scale = json.at("loss_scale");
    p.loss_scale_active = scale.at("active").get<bool>();
    p.loss_scale.value = scale.at("value").get<double>();
    p.loss_scale.finite_steps = scale.at("finite_steps").get<int64_t>();
    p.loss_scale.tolerance = scale.at("tolerance").get<int64_t>();
    p.loss_scale.skipped = scale.at("skipped").get<int64_t>();
    p.recent_losses = json.at("recent_losses").get<std::vector<double>>();
    for (const nlohmann::ordered_json& s : json.at("skipped")) {
      p.skipped.push_back({s.at("step").get<int64_t>(), s.at("first").get<int64_t>(),
                           s.at("count").get<int64_t>(), s.at("reason").get<std::string>(),
                           s.at("rolled_back").get<bool>()});
    }
    return p;
  } catch (const nlohmann::json::exception& error) {
    return DataError(absl::StrCat(origin, ": its training progress cannot be read (", error.what(),
                                  "); begin a new run from its parameters with init.from"));
  }
}

}  // namespace orthant
