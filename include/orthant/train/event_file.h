// EventFile: a run's numbers as a TensorBoard event file: TFRecords (length, masked CRC-32C, bytes) of the
// protocol buffer tensorflow.Event, encoded here (tensorflow/core/util/event.proto and
// framework/summary.proto).
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace orthant {

using Scalars = std::vector<std::pair<std::string, double>>;  // tag, value; stored as float

// One record of a TFRecord file.
std::string TfRecord(const std::string& bytes);
// The Event that opens a file. `wall`: seconds since 1970.
std::string VersionEvent(double wall);
// After a restart: what was written for `step` and later does not count any more (SessionLog START, as
// TensorBoard purges).
std::string RestartEvent(double wall, int64_t step);
std::string ScalarsEvent(double wall, int64_t step, const Scalars& scalars);

// Appends events to a new file; each is handed to the operating system at once. One thread.
class EventFile {
 public:
  // Makes FOLDER/events.out.tfevents.SECONDS.HOST.PID. The steps up to `step` are done and stay as earlier
  // files in the folder have them. EnvironmentError when it cannot be written.
  static absl::StatusOr<EventFile> Create(const std::string& folder, int64_t step);
  absl::Status Append(int64_t step, const Scalars& scalars);
  const std::string& path() const { return path_; }

 private:
  EventFile(std::string path, std::ofstream stream) : path_(std::move(path)), stream_(std::move(stream)) {}
  absl::Status Write(const std::string& event);

  std::string path_;
  std::ofstream stream_;
};

}  // namespace orthant
