// Two ends of a link measure it: small messages for latency and clocks, large ones for bandwidth.
#include <algorithm>
#include <chrono>

#include "ATen/ATen.h"
#include "orthant/core/median.h"
#include "orthant/doctor/measure.h"

namespace orthant::doctor {
namespace {

constexpr int kSmall = 31;           // messages there and back
constexpr int kLarge = 3;            // of the full size
constexpr double kLargeTime = 0.05;  // seconds that one large message may take, about
constexpr int64_t kProbeBytes = int64_t{256} << 10;
constexpr int64_t kMostBytes = int64_t{16} << 20;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double WallClock() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// One end of a link that is being measured: whoever asks sends first.
class End {
 public:
  End(Communicator& world, int peer) : world_(world), peer_(peer) {}

  // Seconds until the answer to `out` is in `in`.
  double Ask(const at::Tensor& out, const at::Tensor& in) {
    const double start = Now();
    world_.Send(out, peer_, "doctor.ask");
    world_.Recv(in, peer_, "doctor.answer");
    return Now() - start;
  }
  void Hear(const at::Tensor& in) { world_.Recv(in, peer_, "doctor.ask"); }
  void Answer(const at::Tensor& out) { world_.Send(out, peer_, "doctor.answer"); }

 private:
  Communicator& world_;
  int peer_;
};

at::Tensor Bytes(int64_t bytes) {
  return at::zeros({bytes / 8}, at::kLong);
}

// How large a message takes about kLargeTime, after one of kProbeBytes took `seconds` there and back.
int64_t LargeBytes(double seconds) {
  const double times = 2 * kLargeTime / std::max(seconds, 1e-9);
  const auto bytes = static_cast<int64_t>(std::min(times, 1e6) * static_cast<double>(kProbeBytes));
  return std::clamp(bytes / 4096 * 4096, kProbeBytes / 8, kMostBytes);
}

Link MeasureAsking(Communicator& world, int a, int b, int peer) {
  End end(world, peer);
  Link link{.a = a, .b = b};
  const at::Tensor number = at::zeros({1}, at::kDouble);
  end.Ask(number, number);  // connects
  std::vector<double> times;
  double best = 1e9;
  for (int i = 0; i < kSmall; ++i) {
    const double before = WallClock();
    times.push_back(end.Ask(number, number));
    const double after = WallClock();
    if (times.back() >= best) continue;
    best = times.back();
    link.clock_offset = number.item<double>() - (before + after) / 2;
    link.clock_error = (after - before) / 2;
  }
  link.latency = best / 2;
  link.median_latency = MedianOf(times) / 2;
  const at::Tensor probe = Bytes(kProbeBytes);
  end.Ask(probe, probe);
  const at::Tensor size = at::full({1}, LargeBytes(end.Ask(probe, probe)), at::kLong);
  end.Ask(size, number);
  const at::Tensor large = Bytes(size.item<int64_t>());
  double shortest = 1e9;
  for (int i = 0; i < kLarge; ++i) shortest = std::min(shortest, end.Ask(large, large));
  const double moving = std::max(shortest - best, 0.1 * shortest);
  link.bandwidth = 2.0 * static_cast<double>(large.nbytes()) / moving;
  return link;
}

void MeasureAnswering(Communicator& world, int peer) {
  End end(world, peer);
  const at::Tensor number = at::zeros({1}, at::kDouble);
  const auto small = [&] {
    end.Hear(number);
    number.fill_(WallClock());
    end.Answer(number);
  };
  for (int i = 0; i < 1 + kSmall; ++i) small();
  const at::Tensor probe = Bytes(kProbeBytes);
  for (int i = 0; i < 2; ++i) {
    end.Hear(probe);
    end.Answer(probe);
  }
  const at::Tensor size = at::zeros({1}, at::kLong);
  end.Hear(size);
  end.Answer(number);
  const at::Tensor large = Bytes(size.item<int64_t>());
  for (int i = 0; i < kLarge; ++i) {
    end.Hear(large);
    end.Answer(large);
  }
}

}  // namespace

std::vector<Link> MeasureLinks(Communicator& world, const std::vector<int>& nodes) {
  std::vector<Link> links;
  for (const std::vector<Pair>& round : PairRounds(static_cast<int>(nodes.size()))) {
    for (const auto& [a, b] : round) {
      const int first = nodes[static_cast<size_t>(a)], second = nodes[static_cast<size_t>(b)];
      if (world.rank() == first) links.push_back(MeasureAsking(world, a, b, second));
      if (world.rank() == second) MeasureAnswering(world, first);
    }
    world.Barrier("doctor.round");
  }
  return links;
}

}  // namespace orthant::doctor
