#include "orthant/pipeline_parallel/executor.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "orthant/pipeline_parallel/row_walk.h"

namespace orthant {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

[[noreturn]] void Refuse(const Schedule& schedule, const std::string& problem) {
  throw std::invalid_argument(absl::StrCat("pipeline schedule ", schedule.name, ": ", problem));
}

// Interprets one row, once.
class Interpreter : private RowWalk {
 public:
  Interpreter(const Schedule& schedule, int rank, Communicator& pipeline, StageProgram& program,
              ExecutorStats& stats)
      : RowWalk(schedule.rows[rank]),
        schedule_(schedule),
        rank_(rank),
        pipeline_(pipeline),
        program_(program),
        stats_(stats) {}

  void Run() {
    Walk();
    while (!sends_.empty()) RetireOldestSend();
  }

 private:
  // A tensor on its way: what it is for (the receiving action, or the send), and the operation that brings
  // it.
  struct Parcel {
    Action action;
    at::Tensor tensor;
    Work work;
  };

  void Issue(const Action& action) override {
    const Peer peer = PeerOf(schedule_, rank_, action);
    const bool activation =
        action.kind == ActionKind::kSendActivation || action.kind == ActionKind::kRecvActivation;
    const Label label(activation ? "pipeline.activation" : "pipeline.gradient", -1, action.microbatch);
    if (IsRecv(action.kind)) {
      at::Tensor buffer = program_.NewActivation(action.chunk, action.microbatch);
      Work work = pipeline_.RecvAsync(buffer, peer.rank, label);
      inbox_.push_back({action, std::move(buffer), std::move(work)});
      ++posted_;
      ++stats_.receives;
      return;
    }
    while (sends_.size() >= kMostSends) RetireOldestSend();
    Parcel parcel = Take(outbox_, action);
    parcel.work = pipeline_.SendAsync(parcel.tensor, peer.rank, label);
    sends_.push_back(std::move(parcel));
    ++stats_.sends;
  }

  void RetireOldestSend() {
    const Clock::time_point start = Clock::now();
    sends_.front().work.Wait();
    sends_.pop_front();
    stats_.wait_seconds += SecondsSince(start);
  }

  void Perform(const Action& action) override {
    switch (action.kind) {
      case ActionKind::kForward: {
        const at::Tensor input = Input(action, ActionKind::kRecvActivation);
        const Clock::time_point start = Clock::now();
        at::Tensor output = program_.Forward(action.chunk, action.microbatch, input);
        stats_.forward_seconds += SecondsSince(start);
        return Deliver(action, ActionKind::kSendActivation, std::move(output));
      }
      case ActionKind::kBackward:
      case ActionKind::kBackwardInput: {
        const at::Tensor grad_output = Input(action, ActionKind::kRecvGradient);
        const Clock::time_point start = Clock::now();
        at::Tensor grad_input = action.kind == ActionKind::kBackward
                                    ? program_.Backward(action.chunk, action.microbatch, grad_output)
                                    : program_.BackwardInput(action.chunk, action.microbatch, grad_output);
        stats_.backward_seconds += SecondsSince(start);
        return Deliver(action, ActionKind::kSendGradient, std::move(grad_input));
      }
      case ActionKind::kBackwardWeight: {
        const Clock::time_point start = Clock::now();
        program_.BackwardWeight(action.chunk, action.microbatch);
        stats_.backward_seconds += SecondsSince(start);
        return;
      }
      case ActionKind::kGatherParams:
        return program_.GatherParams(action.chunk);
      case ActionKind::kReleaseParams:
        return program_.ReleaseParams(action.chunk);
      case ActionKind::kReduceGrads:
        return program_.ReduceGrads(action.chunk);
      default:
        Refuse(schedule_,
               absl::StrCat("a communication was taken for compute: ", CellText(schedule_, rank_, action)));
    }
  }

  // True when there is a stage on the other end of `action`'s input or result of this kind.
  bool HasNeighbour(const Action& action, ActionKind communication) const {
    const int stage = schedule_.StageOf(rank_, action.chunk);
    const bool next =
        communication == ActionKind::kSendActivation || communication == ActionKind::kRecvGradient;
    return next ? stage + 1 < schedule_.stages() : stage > 0;
  }

  // What `action` consumes, waited for; undefined where nothing comes before it.
  at::Tensor Input(const Action& action, ActionKind recv) {
    if (!HasNeighbour(action, recv)) return {};
    const Action wanted{recv, action.chunk, action.microbatch};
    Parcel parcel = Take(inbox_, wanted);
    if (PeerOf(schedule_, rank_, wanted).rank == rank_) return parcel.tensor;
    --posted_;
    const Clock::time_point start = Clock::now();
    parcel.work.Wait();
    stats_.wait_seconds += SecondsSince(start);
    return parcel.tensor;
  }

  // Keeps a result for its send, or hands it to the next chunk where that is on this rank.
  void Deliver(const Action& action, ActionKind send, at::Tensor result) {
    if (schedule_.forward_only && send == ActionKind::kSendGradient) return;
    if (!HasNeighbour(action, send)) return;
    if (!result.defined()) {
      Refuse(schedule_, absl::StrCat("the stage program gave no result for ",
                                     CellText(schedule_, rank_, action), ", which another stage needs"));
    }
    const Action sending{send, action.chunk, action.microbatch};
    const Peer peer = PeerOf(schedule_, rank_, sending);
    at::Tensor tensor = result.detach().contiguous();
    if (peer.rank == rank_) {
      inbox_.push_back({peer.action, std::move(tensor), Work()});
    } else {
      outbox_.push_back({sending, std::move(tensor), Work()});
    }
  }

  // Both boxes hold a handful of parcels at a time: searching beats hashing.
  Parcel Take(std::vector<Parcel>& box, const Action& action) {
    for (size_t i = 0; i < box.size(); ++i) {
      if (box[i].action != action) continue;
      Parcel parcel = std::move(box[i]);
      box.erase(box.begin() + static_cast<std::ptrdiff_t>(i));
      return parcel;
    }
    Refuse(schedule_, absl::StrCat(CellText(schedule_, rank_, action), " on rank ", rank_,
                                   " has no tensor: the order is not one that validation passes"));
  }

  const Schedule& schedule_;
  const int rank_;
  Communicator& pipeline_;
  StageProgram& program_;
  ExecutorStats& stats_;
  std::vector<Parcel> inbox_, outbox_;
  std::deque<Parcel> sends_;
};

void CheckFit(const Schedule& schedule, int rank, const Communicator& pipeline, const StageProgram& program) {
  if (schedule.ranks != pipeline.size() || rank != pipeline.rank() ||
      static_cast<int>(schedule.rows.size()) != schedule.ranks) {
    Refuse(schedule,
           absl::StrCat("it has ", schedule.rows.size(), " rows for ", schedule.ranks, " ranks, and row ",
                        rank, " was to run on rank ", pipeline.rank(), " of a group of ", pipeline.size()));
  }
  bool communicates = schedule.ranks == 1;
  for (const Action& action : schedule.rows[rank]) {
    communicates = communicates || IsCommunication(action.kind);
    if (IsCommunication(action.kind) || program.Supports(action.kind)) continue;
    Refuse(schedule, absl::StrCat(CellText(schedule, rank, action), " on rank ", rank,
                                  " is of a kind that this model's stages cannot run"));
  }
  if (!communicates)
    Refuse(schedule, absl::StrCat("row ", rank, " has no sends or receives: it was not lowered"));
}

[[noreturn]] void Unsupported(const char* what) {
  throw std::logic_error(
      absl::StrCat("StageProgram::Supports promises ", what, ", which the program does not define"));
}

}  // namespace

bool StageProgram::Supports(ActionKind kind) const {
  return kind == ActionKind::kForward || kind == ActionKind::kBackward;
}
at::Tensor StageProgram::BackwardInput(int, int, const at::Tensor&) {
  Unsupported("BackwardInput");
}
void StageProgram::BackwardWeight(int, int) {
  Unsupported("BackwardWeight");
}
void StageProgram::GatherParams(int) {
  Unsupported("GatherParams");
}
void StageProgram::ReleaseParams(int) {
  Unsupported("ReleaseParams");
}
void StageProgram::ReduceGrads(int) {
  Unsupported("ReduceGrads");
}

void RunSchedule(const Schedule& lowered, int rank, Communicator& pipeline, StageProgram& program,
                 ExecutorStats* stats) {
  CheckFit(lowered, rank, pipeline, program);
  ExecutorStats ignored;
  Interpreter(lowered, rank, pipeline, program, stats == nullptr ? ignored : *stats).Run();
}

}  // namespace orthant
