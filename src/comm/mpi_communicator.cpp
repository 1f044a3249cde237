#include "comm/mpi_communicator.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "comm/mpi_watchdog.h"

namespace orthant::mpi {
namespace {

// Of a group on several hosts: messages between hosts want larger pieces.
constexpr int64_t kSpreadSlotBytes = 1 << 20;

// The members' ranks in `all`, which holds every process.
std::vector<int> WorldRanks(MPI_Comm comm, MPI_Comm all) {
  int size = 0;
  Check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
  std::vector<int> own(static_cast<size_t>(size));
  std::vector<int> ranks(own.size());
  std::iota(own.begin(), own.end(), 0);
  MPI_Group members = MPI_GROUP_NULL;
  MPI_Group world = MPI_GROUP_NULL;
  Check(MPI_Comm_group(comm, &members), "MPI_Comm_group");
  Check(MPI_Comm_group(all, &world), "MPI_Comm_group");
  Check(MPI_Group_translate_ranks(members, size, own.data(), world, ranks.data()),
        "MPI_Group_translate_ranks");
  MPI_Group_free(&members);
  MPI_Group_free(&world);
  return ranks;
}

int RankOf(MPI_Comm comm) {
  int rank = 0;
  Check(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
  return rank;
}

// Where the members on this host meet; `members`: the group's ranks of them. Null when memory cannot be
// shared.
std::unique_ptr<Stage> MakeStage(const Host& host, MPI_Comm comm, int place,
                                 const std::vector<int>& world_ranks, int64_t slot_bytes) {
  std::vector<Bell*> bells;
  for (const int member : world_ranks) bells.push_back(host.bell(member));
  // All members see the same: they are on one host, and there all share or none.
  if (std::count(bells.begin(), bells.end(), nullptr) > 0) return nullptr;
  std::vector<std::byte*> heaps;
  for (const int member : world_ranks) {
    if (host.heap(member) != nullptr) heaps.push_back(host.heap(member));
  }
  const int members = static_cast<int>(bells.size());
  slot_bytes = Stage::SlotBytes(members, slot_bytes);
  absl::StatusOr<SharedMemory> memory = ShareAmong(comm, Stage::BytesFor(members, slot_bytes));
  if (!memory.ok()) {
    host.Tell(std::string(memory.status().message()));
    return nullptr;
  }
  return std::make_unique<Stage>(*std::move(memory), place, slot_bytes, std::move(bells), std::move(heaps));
}

// The same of a group on several hosts, when its seats allow it. All members share memory on their hosts, or
// none does.
std::unique_ptr<Spread> MakeSpread(const Host& host, MPI_Comm comm, int rank,
                                   const std::vector<int>& world_ranks, int64_t slot_bytes) {
  std::vector<int> hosts;
  for (const int member : world_ranks) hosts.push_back(host.host_of(member));
  const Seats seats = SeatsOf(hosts);
  if (seats.hosts == 0) return nullptr;
  const int own = rank / seats.per_host;
  MPI_Comm part = MPI_COMM_NULL;
  Check(MPI_Comm_split(comm, own, rank, &part), "MPI_Comm_split");
  const auto first = world_ranks.begin() + own * seats.per_host;
  std::unique_ptr<Stage> stage =
      MakeStage(host, part, rank % seats.per_host, std::vector<int>(first, first + seats.per_host),
                slot_bytes > 0 ? slot_bytes : kSpreadSlotBytes);
  Check(MPI_Comm_free(&part), "MPI_Comm_free");
  int mine = stage != nullptr ? 1 : 0;
  int all = 0;
  Check(MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, comm), "MPI_Allreduce");
  if (all == 0) return nullptr;
  return std::make_unique<Spread>(Spread{std::move(*stage), seats.hosts, own, rank % seats.per_host, {}, {}});
}

void Fill(Transfer* transfer, const Operation& op, const at::Tensor& output, const at::Tensor& input) {
  transfer->op = op;
  transfer->output = output;
  transfer->input = input;
  if (op.kind != OpKind::kAllToAllSplit) return;
  transfer->input_counts = *op.input_counts;
  transfer->output_counts = *op.output_counts;
  transfer->op.input_counts = &transfer->input_counts;
  transfer->op.output_counts = &transfer->output_counts;
}

// Waits, and throws what went wrong. After a missed deadline the transfer stays with the engine, which keeps
// its memory: MPI cannot take an operation back, and the job is about to end.
void Await(Engine* engine, const Transfer& transfer, const Channel& channel, const std::string& group,
           double timeout_seconds) {
  if (!engine->WaitFor(transfer, timeout_seconds)) {
    if (Watchdog* watchdog = engine->watchdog()) watchdog->DeadlinePassed();
    throw CommError(absl::StrFormat("%s.%s seq=%d on rank %d of %d waited %.3g s for its peers", group,
                                    Describe(transfer.op), transfer.op.sequence, channel.rank, channel.size,
                                    timeout_seconds));
  }
  if (transfer.error.empty()) return;
  if (transfer.error_is_whole) throw CommError(transfer.error);
  throw CommError(absl::StrFormat("%s.%s seq=%d on rank %d of %d: %s", group, Describe(transfer.op),
                                  transfer.op.sequence, channel.rank, channel.size, transfer.error));
}

class Pending : public Work::State {
 public:
  Pending(std::shared_ptr<Engine> engine, std::shared_ptr<Channel> channel,
          std::shared_ptr<Transfer> transfer, std::string group, std::shared_ptr<FlightRecorder> recorder)
      : engine_(std::move(engine)),
        channel_(std::move(channel)),
        transfer_(std::move(transfer)),
        group_(std::move(group)),
        recorder_(std::move(recorder)) {}

  void Wait() override {
    if (waited_) return Rethrow();
    waited_ = true;
    recorder_->SetWaiting(transfer_->op.ticket);
    try {
      Await(engine_.get(), *transfer_, *channel_, group_, recorder_->timeout());
      recorder_->NoteOver(transfer_->op.ticket, transfer_->ended);
      recorder_->Mark(transfer_->op.ticket, FlightState::kDone);
    } catch (...) {
      recorder_->Mark(transfer_->op.ticket, FlightState::kFailed);
      error_ = std::current_exception();
    }
    Rethrow();
  }

  std::optional<FlightRecorder::Clock::time_point> Ended() const override { return transfer_->ended; }

 private:
  void Rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<Channel> channel_;
  std::shared_ptr<Transfer> transfer_;
  std::string group_;
  std::shared_ptr<FlightRecorder> recorder_;
  bool waited_ = false;
  std::exception_ptr error_;
};

}  // namespace

Control::~Control() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (comm != MPI_COMM_NULL && finalized == 0) MPI_Comm_free(&comm);
}

MpiCommunicator::MpiCommunicator(std::shared_ptr<Engine> engine, MPI_Comm comm,
                                 std::shared_ptr<Control> control, std::string name,
                                 const MpiOptions& options, std::shared_ptr<FlightRecorder> recorder)
    : Communicator(RankOf(comm), WorldRanks(comm, control->comm), std::move(name), std::move(recorder)),
      engine_(std::move(engine)),
      control_(std::move(control)),
      channel_(std::make_shared<Channel>()),
      options_(options),
      spare_(std::make_shared<Transfer>()) {
  Check(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  channel_->comm = comm;
  channel_->rank = rank();
  channel_->size = size();
  channel_->max_count = options.max_count;
  channel_->check = options.check;
  channel_->name = this->name();
  const Host& host = engine_->host();
  if (size() == 1) return;
  const bool together = std::all_of(world_ranks().begin(), world_ranks().end(), [&](int member) {
    return host.host_of(member) == host.host_of(world_ranks().front());
  });
  if (together) {
    channel_->stage = MakeStage(host, comm, rank(), world_ranks(), options.slot_bytes);
  } else if (options.shared_memory) {
    channel_->spread = MakeSpread(host, comm, rank(), world_ranks(), options.slot_bytes);
  }
}

void MpiCommunicator::Do(const Operation& op, const at::Tensor& output, const at::Tensor& input) {
  // A transfer that missed its deadline is still in use.
  if (spare_.use_count() > 1) spare_ = std::make_shared<Transfer>();
  spare_->Reset();
  Fill(spare_.get(), op, output, input);
  engine_->Submit(channel_, spare_, /*background=*/false);
  Await(engine_.get(), *spare_, *channel_, name(), flight_recorder()->timeout());
  spare_->output = at::Tensor();
  spare_->input = at::Tensor();
}

Work MpiCommunicator::DoAsync(const Operation& op, const at::Tensor& output, const at::Tensor& input) {
  auto transfer = std::make_shared<Transfer>();
  Fill(transfer.get(), op, output, input);
  engine_->Submit(channel_, transfer, /*background=*/true);
  flight_recorder()->Mark(op.ticket, FlightState::kStarted);
  return Work(std::make_shared<Pending>(engine_, channel_, std::move(transfer), name(), flight_recorder()));
}

std::unique_ptr<Communicator> MpiCommunicator::Subgroup(const std::vector<int>& members, std::string name) {
  CheckMembers(members, name);
  MPI_Group whole = MPI_GROUP_NULL;
  MPI_Group part = MPI_GROUP_NULL;
  MPI_Comm comm = MPI_COMM_NULL;
  Check(MPI_Comm_group(channel_->comm, &whole), "MPI_Comm_group");
  Check(MPI_Group_incl(whole, static_cast<int>(members.size()), members.data(), &part), "MPI_Group_incl");
  // Members alone take part; the tag tells creations apart that overlap in time.
  uint32_t tag = 2166136261u;
  for (const char letter : name) tag = (tag ^ static_cast<unsigned char>(letter)) * 16777619u;
  if (Watchdog* watchdog = engine_->watchdog()) watchdog->EnterBlocking();
  Check(MPI_Comm_create_group(channel_->comm, part, static_cast<int>(tag & 0x7fffu), &comm),
        "MPI_Comm_create_group");
  auto made = std::make_unique<MpiCommunicator>(engine_, comm, control_, std::move(name), options_,
                                                flight_recorder());
  if (Watchdog* watchdog = engine_->watchdog()) watchdog->LeaveBlocking();
  MPI_Group_free(&part);
  MPI_Group_free(&whole);
  made->SetFilter(filter());
  return made;
}

}  // namespace orthant::mpi
