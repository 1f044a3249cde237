#include "orthant/train/fault.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "orthant/core/status.h"
#include "orthant/core/text.h"

namespace orthant {
namespace {

const std::vector<std::pair<const char*, FaultKind>>& Kinds() {
  static const std::vector<std::pair<const char*, FaultKind>> kinds = {
      {"kill", FaultKind::kKill},   {"stop", FaultKind::kStop},   {"throw", FaultKind::kThrow},
      {"sleep", FaultKind::kSleep}, {"skip", FaultKind::kSkip},   {"double", FaultKind::kDouble},
      {"shape", FaultKind::kShape}, {"dtype", FaultKind::kDtype}, {"nan", FaultKind::kNan},
      {"spike", FaultKind::kSpike}, {"drift", FaultKind::kDrift},
  };
  return kinds;
}

const std::vector<std::pair<const char*, FaultPhase>>& Phases() {
  static const std::vector<std::pair<const char*, FaultPhase>> phases = {
      {"start", FaultPhase::kStart},       {"data", FaultPhase::kData},
      {"forward", FaultPhase::kForward},   {"backward", FaultPhase::kBackward},
      {"reduce", FaultPhase::kReduce},     {"optimizer", FaultPhase::kOptimizer},
      {"evaluate", FaultPhase::kEvaluate}, {"save", FaultPhase::kSave},
      {"load", FaultPhase::kLoad},
  };
  return phases;
}

template <typename T>
absl::StatusOr<T> Named(const std::vector<std::pair<const char*, T>>& table, std::string_view word,
                        std::string_view what, std::string_view text) {
  std::vector<std::string> names;
  for (const auto& [name, value] : table) {
    if (word == name) return value;
    names.emplace_back(name);
  }
  return ConfigurationError(absl::StrCat("fault.inject: '", std::string(text), "': '", std::string(word),
                                         "' is no ", std::string(what), "; there are ", JoinWords(names)));
}

absl::Status NotUnderstood(std::string_view text, std::string_view word) {
  return ConfigurationError(absl::StrCat("fault.inject: '", std::string(text), "': '", std::string(word),
                                         "' is not understood; write for example 'kill rank=1 step=4 "
                                         "phase=backward' (further: attempt=, seconds=, at=)"));
}

// Another type of at most the same size: no byte beyond the tensor is touched.
c10::ScalarType OtherType(c10::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return at::kFloat;
    case at::kBFloat16:
      return at::kHalf;
    case at::kHalf:
      return at::kBFloat16;
    default:
      return dtype == at::kLong ? at::kDouble : at::kBFloat16;
  }
}

}  // namespace

int64_t AttemptNumber() {
  const char* text = std::getenv("ORTHANT_ATTEMPT");
  return text == nullptr ? 0 : std::atoll(text);
}

void Describe(Fields& fields, FaultConfig& config) {
  fields.Texts("inject", &config.inject)
      .Doc(
          "Each 'KIND rank=R step=S phase=P [attempt=A] [seconds=T] [at=SHARE]'. Kinds: kill, stop, throw, "
          "sleep, "
          "skip, double, shape, dtype (of the next operation), nan, spike, drift. Phases: start, data, "
          "forward, "
          "backward, reduce, optimizer, evaluate, save, load.");
}

absl::StatusOr<Fault> ParseFault(std::string_view text) {
  Fault fault;
  bool first = true;
  const std::vector<std::string> words = absl::StrSplit(std::string(text), ' ', absl::SkipEmpty());
  for (const std::string& word : words) {
    if (first) {
      auto kind = Named(Kinds(), word, "kind of fault", text);
      if (!kind.ok()) return kind.status();
      fault.kind = *kind;
      first = false;
      continue;
    }
    const std::pair<std::string, std::string> parts = absl::StrSplit(word, absl::MaxSplits('=', 1));
    const auto& [key, value] = parts;
    bool understood = false;
    if (key == "phase") {
      auto phase = Named(Phases(), value, "phase", text);
      if (!phase.ok()) return phase.status();
      fault.phase = *phase;
      understood = true;
    } else if (key == "rank" || key == "step" || key == "attempt") {
      int64_t& number = key == "rank" ? fault.rank : key == "step" ? fault.step : fault.attempt;
      understood = absl::SimpleAtoi(value, &number) && number >= 0;
    } else if (key == "seconds" || key == "at") {
      double& number = key == "seconds" ? fault.seconds : fault.at;
      understood = absl::SimpleAtod(value, &number) && number >= 0;
    }
    if (!understood) return NotUnderstood(text, word);
  }
  if (first) return NotUnderstood(text, "");
  return fault;
}

FaultInjector::FaultInjector(const FaultConfig& config, int64_t rank) {
  for (const std::string& text : config.inject) {
    const absl::StatusOr<Fault> fault = ParseFault(text);
    if (!fault.ok()) throw StatusError(fault.status());
    if (fault->rank != rank || fault->attempt != AttemptNumber()) continue;
    (fault->phase == FaultPhase::kSave && fault->at > 0 ? write_faults_ : faults_).push_back({*fault});
  }
}

void FaultInjector::Happen(const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::kKill:
      kill(getpid(), SIGKILL);
      break;
    case FaultKind::kStop:
      kill(getpid(), SIGSTOP);
      break;
    case FaultKind::kThrow:
      throw std::runtime_error(absl::StrCat("a fault was injected at rank ", fault.rank));
    case FaultKind::kSleep:
      std::this_thread::sleep_for(std::chrono::duration<double>(fault.seconds));
      break;
    default:
      break;
  }
}

void FaultInjector::At(FaultPhase phase) {
  for (Planned& planned : faults_) {
    const Fault& fault = planned.fault;
    if (planned.happened || fault.phase != phase || fault.step != step_) continue;
    planned.happened = true;
    switch (fault.kind) {
      case FaultKind::kSkip:
      case FaultKind::kDouble:
      case FaultKind::kShape:
      case FaultKind::kDtype:
        next_operation_ = fault.kind;
        break;
      case FaultKind::kNan:
      case FaultKind::kSpike:
        loss_ = fault.kind;
        break;
      case FaultKind::kDrift:
        drift_ = true;
        break;
      default:
        Happen(fault);
    }
  }
}

void FaultInjector::OnWrite(int64_t written, int64_t total) {
  for (Planned& planned : write_faults_) {
    const Fault& fault = planned.fault;
    if (planned.happened || fault.step != save_step_) continue;
    if (static_cast<double>(written) < fault.at * static_cast<double>(total)) continue;
    planned.happened = true;
    Happen(fault);
  }
}

double FaultInjector::Loss(double part) {
  if (!loss_.has_value()) return part;
  const bool nan = *loss_ == FaultKind::kNan;
  loss_.reset();
  return nan ? std::numeric_limits<double>::quiet_NaN() : 1000.0 * (part + 1.0);
}

bool FaultInjector::Drifts() {
  return std::exchange(drift_, false);
}

OperationFilter::Action FaultInjector::Before(Operation* op) {
  if (!next_operation_.has_value()) return Action::kPass;
  const FaultKind kind = *next_operation_;
  next_operation_.reset();
  if (kind == FaultKind::kSkip) return Action::kSkip;
  if (kind == FaultKind::kDouble) return Action::kDouble;
  if (kind == FaultKind::kShape) op->count /= 2;
  if (kind == FaultKind::kDtype) op->dtype = OtherType(op->dtype);
  return Action::kPass;
}

}  // namespace orthant
