#include "launch/output_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

constexpr int kPollMilliseconds = 100;
// Of a process that the child has left behind, with our pipe in its hands.
constexpr double kLingerSeconds = 1.0;
// A line that never ends is handed on in parts.
constexpr size_t kLongestLine = size_t{1} << 20;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Close(int* descriptor) {
  if (*descriptor >= 0) ::close(*descriptor);
  *descriptor = -1;
}

}  // namespace

absl::Status OutputReader::Open() {
  for (Stream& stream : streams_) {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) {
      return EnvironmentError(absl::StrCat("no pipe could be made for the ranks' output: ",
                                           std::generic_category().message(errno)));
    }
    stream.read_end = ends[0];
    stream.write_end = ends[1];
  }
  return absl::OkStatus();
}

void OutputReader::TakeEnds() const {
  ::dup2(streams_[0].write_end, STDOUT_FILENO);
  ::dup2(streams_[1].write_end, STDERR_FILENO);
}

void OutputReader::Start() {
  for (Stream& stream : streams_) Close(&stream.write_end);
  thread_ = std::thread([this] { Read(); });
}

void OutputReader::Finish() {
  finishing_ = true;
  if (thread_.joinable()) thread_.join();
}

OutputReader::~OutputReader() {
  Finish();
  for (Stream& stream : streams_) {
    Close(&stream.read_end);
    Close(&stream.write_end);
  }
}

void OutputReader::HandOn(int stream, absl::string_view line) {
  last_line_ = Now();
  output_(stream, line);
}

// False at the stream's end.
bool OutputReader::ReadOnce(size_t index) {
  Stream& stream = streams_[index];
  char buffer[65536];
  const ssize_t count = ::read(stream.read_end, buffer, sizeof buffer);
  if (count < 0 && errno == EINTR) return true;
  if (count <= 0) return false;
  stream.rest.append(buffer, static_cast<size_t>(count));
  size_t begin = 0;
  for (size_t end; (end = stream.rest.find('\n', begin)) != std::string::npos; begin = end + 1) {
    HandOn(static_cast<int>(index) + 1, absl::string_view(stream.rest).substr(begin, end - begin));
  }
  stream.rest.erase(0, begin);
  if (stream.rest.size() > kLongestLine) {
    HandOn(static_cast<int>(index) + 1, stream.rest);
    stream.rest.clear();
  }
  return true;
}

void OutputReader::Read() {
  double finish_at = 0.0;
  while (streams_[0].read_end >= 0 || streams_[1].read_end >= 0) {
    std::array<pollfd, 2> polled{};
    for (size_t i = 0; i < 2; ++i) polled[i] = {streams_[i].read_end, POLLIN, 0};
    const int ready = ::poll(polled.data(), polled.size(), kPollMilliseconds);
    if (ready <= 0 && finishing_) {
      if (finish_at == 0.0) finish_at = Now() + kLingerSeconds;
      if (Now() >= finish_at) break;
    }
    for (size_t i = 0; i < 2; ++i) {
      if (polled[i].revents != 0 && !ReadOnce(i)) Close(&streams_[i].read_end);
    }
  }
  for (size_t i = 0; i < 2; ++i) {
    if (!streams_[i].rest.empty()) HandOn(static_cast<int>(i) + 1, streams_[i].rest);
    streams_[i].rest.clear();
  }
}

}  // namespace orthant
