#include "orthant/train/trace_file.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "orthant/core/file.h"

namespace orthant {
namespace {

using Clock = FlightRecorder::Clock;

constexpr int kPings = 9;               // the first ones find cold caches
constexpr int kThreadRow = 0;           // the rank's own thread
constexpr double kShortestWait = 1e-6;  // seconds: below, the operation was over before it was asked for
constexpr int kFirstTransferRow = 1;    // asynchronous operations: as many rows as overlap

int64_t Nanoseconds(Clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

int64_t Now() {
  return Nanoseconds(Clock::now());
}

std::string Microseconds(int64_t nanoseconds) {
  return absl::StrFormat("%s%d.%03d", nanoseconds < 0 ? "-" : "", std::llabs(nanoseconds) / 1000,
                         static_cast<int>(std::llabs(nanoseconds) % 1000));
}

std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string Quoted(const Degrees& degrees) {
  return absl::StrCat("{\"data\":", degrees.data, ",\"tensor\":", degrees.tensor,
                      ",\"pipeline\":", degrees.pipeline, ",\"sequence\":", degrees.sequence, "}");
}

// As Groups::AxisOf counts bytes: all that is of no other axis is data's.
const char* AxisOfGroup(const std::string& group) {
  if (group == "embedding_pair") return "pipeline";
  for (const char* axis : {"tensor", "pipeline", "sequence"}) {
    if (group == axis) return axis;
  }
  return "data";
}

// One complete event.
std::string Event(int rank, int row, const std::string& name, const char* category, Clock::time_point begin,
                  Clock::time_point end, const ClockOffset& clock, const std::string& arguments) {
  const int64_t from = Nanoseconds(begin), to = std::max(Nanoseconds(end), from);
  return absl::StrCat("{\"ph\":\"X\",\"pid\":", rank, ",\"tid\":", row,
                      ",\"ts\":", Microseconds(from - clock.ahead), ",\"dur\":", Microseconds(to - from),
                      ",\"cat\":\"", category, "\",\"name\":", Quoted(name), ",\"args\":{", arguments,
                      "}},\n");
}

std::string SpanName(const TraceSpan& span) {
  std::string name = span.name;
  if (span.microbatch >= 0) absl::StrAppend(&name, " mb=", span.microbatch);
  if (span.chunk > 0) absl::StrAppend(&name, " chunk=", span.chunk);
  return name;
}

std::string Arguments(const TracedOperation& operation, int64_t step) {
  const FlightEntry& e = operation.entry;
  std::string text = absl::StrFormat(
      "\"step\":%d,\"op\":\"%s\",\"group\":%s,\"axis\":\"%s\",\"sequence\":%d,\"bytes\":%d,\"sent\":%d,"
      "\"exposed_us\":%.3f,\"hidden_us\":%.3f",
      step, ToString(e.op), Quoted(operation.group), AxisOfGroup(operation.group), e.sequence,
      e.elements * static_cast<int64_t>(c10::elementSize(e.dtype)), e.sent, 1e6 * operation.exposed,
      1e6 * operation.hidden);
  if (e.peer >= 0) absl::StrAppend(&text, ",\"peer\":", e.peer);
  return text;
}

// The lowest row whose last operation has ended by `begin`.
int RowFor(Clock::time_point begin, Clock::time_point end, std::vector<Clock::time_point>* busy_until) {
  for (size_t row = 0; row < busy_until->size(); ++row) {
    if ((*busy_until)[row] > begin) continue;
    (*busy_until)[row] = end;
    return kFirstTransferRow + static_cast<int>(row);
  }
  busy_until->push_back(end);
  return kFirstTransferRow + static_cast<int>(busy_until->size()) - 1;
}

// Every rank's text on rank 0, in the order of ranks; empty elsewhere. Bytes travel eight to an int64, which
// every backend carries.
std::string JoinOnFirst(const std::string& mine, Communicator& world) {
  at::Tensor size = at::full({1}, static_cast<int64_t>(mine.size()), at::kLong);
  at::Tensor sizes = at::zeros({world.size()}, at::kLong);
  world.AllGather(sizes, size, "trace.sizes");
  const auto words = [](int64_t bytes) { return (bytes + 7) / 8; };
  if (world.rank() != 0) {
    at::Tensor packed = at::zeros({words(size.item<int64_t>())}, at::kLong);
    std::memcpy(packed.data_ptr(), mine.data(), mine.size());
    world.Send(packed, 0, "trace.events");
    return "";
  }
  std::string all = mine;
  for (int rank = 1; rank < world.size(); ++rank) {
    const int64_t bytes = sizes[rank].item<int64_t>();
    at::Tensor packed = at::zeros({words(bytes)}, at::kLong);
    world.Recv(packed, rank, "trace.events");
    all.append(static_cast<const char*>(packed.data_ptr()), static_cast<size_t>(bytes));
  }
  return all;
}

}  // namespace

ClockOffset OffsetOf(int64_t sent, int64_t theirs, int64_t answered) {
  ClockOffset offset;
  offset.round_trip = answered - sent;
  const int64_t ahead = theirs - (sent + offset.round_trip / 2);
  // Wherever within the ping the other clock was read: 0 may be the truth.
  if (std::llabs(ahead) > (offset.round_trip + 1) / 2) offset.ahead = ahead;
  return offset;
}

ClockOffset MeasureClock(Communicator& world) {
  ClockOffset mine;
  at::Tensor time = at::zeros({1}, at::kLong), answer = at::zeros({2}, at::kLong);
  for (int other = 1; other < world.size(); ++other) {
    if (world.rank() == 0) {
      ClockOffset best;
      for (int ping = 0; ping < kPings; ++ping) {
        const int64_t sent = Now();
        world.Send(time, other, "trace.ping");
        world.Recv(time, other, "trace.pong");
        const ClockOffset offset = OffsetOf(sent, time.item<int64_t>(), Now());
        if (ping == 0 || offset.round_trip < best.round_trip) best = offset;
      }
      answer[0] = best.ahead;
      answer[1] = best.round_trip;
      world.Send(answer, other, "trace.offset");
    } else if (world.rank() == other) {
      for (int ping = 0; ping < kPings; ++ping) {
        world.Recv(time, 0, "trace.ping");
        time[0] = Now();
        world.Send(time, 0, "trace.pong");
      }
      world.Recv(answer, 0, "trace.offset");
      mine = {answer[0].item<int64_t>(), answer[1].item<int64_t>()};
    }
  }
  return mine;
}

std::string TraceEvents(const StepTrace& trace, int rank, const ClockOffset& clock) {
  const std::string step = absl::StrCat("\"step\":", trace.step());
  std::string text;
  for (const TraceSpan& span : trace.activities())
    text += Event(rank, kThreadRow, span.name, "activity", span.begin, span.end, clock, step);
  for (const TraceSpan& span : trace.actions()) {
    text += Event(rank, kThreadRow, SpanName(span), "compute", span.begin, span.end, clock,
                  absl::StrCat(step, ",\"action\":", Quoted(span.name), ",\"chunk\":", span.chunk,
                               ",\"microbatch\":", span.microbatch));
  }
  std::vector<TracedOperation> operations = trace.operations();
  std::sort(operations.begin(), operations.end(), [](const TracedOperation& a, const TracedOperation& b) {
    return a.entry.queued < b.entry.queued;
  });
  std::vector<Clock::time_point> busy_until;
  for (const TracedOperation& operation : operations) {
    const FlightEntry& e = operation.entry;
    const std::string name = absl::StrCat(ToString(e.op), " ", ToString(e.label));
    const int row = operation.blocking ? kThreadRow : RowFor(e.queued, operation.over, &busy_until);
    text += Event(rank, row, name, "communication", e.queued, operation.over, clock,
                  Arguments(operation, trace.step()));
    if (operation.blocking || operation.exposed < kShortestWait) continue;
    text += Event(rank, kThreadRow, absl::StrCat("wait for ", name), "wait", e.waited, e.ended, clock, step);
  }
  return text;
}

std::string TraceRows(const StepTrace& trace, int rank, const std::string& place, const ClockOffset& clock) {
  const auto named = [&](const char* what, int row, const std::string& name) {
    return absl::StrCat("{\"ph\":\"M\",\"pid\":", rank, ",\"tid\":", row, ",\"name\":\"", what,
                        "\",\"args\":{\"name\":", Quoted(name), "}},\n");
  };
  std::string text = named("process_name", 0, place);
  absl::StrAppend(&text, "{\"ph\":\"M\",\"pid\":", rank, ",\"tid\":0,\"name\":\"process_sort_index\",",
                  "\"args\":{\"sort_index\":", rank, "}},\n");
  absl::StrAppend(&text, "{\"ph\":\"M\",\"pid\":", rank,
                  ",\"tid\":0,\"name\":\"clock\",\"args\":{\"ahead_us\":", Microseconds(clock.ahead),
                  ",\"round_trip_us\":", Microseconds(clock.round_trip),
                  ",\"operations_lost\":", trace.lost(), "}},\n");
  text += named("thread_name", kThreadRow, "compute");
  for (int row = 0; row < 4; ++row)
    text += named("thread_name", kFirstTransferRow + row, absl::StrCat("asynchronous ", row + 1));
  return text;
}

Timelines::Timelines(const RunConfig& config, const Mesh& mesh, Communicator& world)
    : steps_(config.log.trace.steps), folder_(config.RunDir() + "/trace"), mesh_(mesh), world_(world) {}

StepTrace* Timelines::Begin(int64_t step) {
  trace_.reset();  // a step that was given up
  if (std::find(steps_.begin(), steps_.end(), step) == steps_.end()) return nullptr;
  trace_ = std::make_unique<StepTrace>(*world_.flight_recorder(), step);
  return trace_.get();
}

absl::Status Timelines::End() {
  if (trace_ == nullptr) return absl::OkStatus();
  trace_->End();
  const ClockOffset clock = MeasureClock(world_);
  const int64_t step = trace_->step();
  const int rank = world_.rank();
  const bool goes_on = step == last_step_ + 1;
  if (!goes_on) first_step_ = step;
  last_step_ = step;
  std::string mine = goes_on ? "" : TraceRows(*trace_, rank, mesh_.Describe(rank), clock);
  mine += TraceEvents(*trace_, rank, clock);
  trace_.reset();
  const std::string all = JoinOnFirst(mine, world_);
  if (rank != 0) return absl::OkStatus();
  events_ = goes_on ? events_ + all : all;
  std::string text = absl::StrCat(
      "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"program\":\"orthant\",\"ranks\":", world_.size(),
      ",\"mesh\":", Quoted(mesh_.degrees()), ",\"written\":\"",
      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()),
      "\",\"first_step\":", first_step_, ",\"last_step\":", last_step_, "},\n\"traceEvents\":[\n", events_);
  text.resize(text.size() - 2);  // the last comma
  text += "\n]}\n";
  if (absl::Status made = MakeDirectories(folder_); !made.ok()) return made;
  return WriteFileAtomically(absl::StrFormat("%s/step_%08d.json", folder_, first_step_), text);
}

}  // namespace orthant
