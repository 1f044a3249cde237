// StateStore: where optimiser state and parameter shards live between uses: on the device, in host memory
// (ZeRO-Offload, arXiv 2101.06840) or in files on NVMe (ZeRO-Infinity, arXiv 2104.07857).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "ATen/core/Tensor.h"
#include "c10/core/Device.h"

namespace orthant {

enum class Tier { kDevice, kHost, kNvme };
// none | host | nvme, as in the configuration.
Tier TierOf(const std::string& name);

struct StoreOptions {
  Tier tier = Tier::kDevice;
  std::string path;  // kNvme: folder of this run's files
  std::string name;  // of the files: unique among the ranks and stores that share the folder
  int buffers = 3;   // kNvme: staging buffers, at least 2: one read ahead, one in use, one written back
  // That computes on the slots; where it is a GPU, kHost and kNvme have as many staging buffers on it too.
  c10::Device device = c10::DeviceType::CPU;
};

// One-dimensional tensors by slot. One rank's thread. Failures of the disk are thrown as StatusError with
// exit code 3 (environment), damage found at reading (short file, wrong checksum) with exit code 5 (data).
class StateStore {
 public:
  // Throws StatusError when the tier cannot be used: folder missing, read-only, full.
  static std::unique_ptr<StateStore> Create(const StoreOptions& options);
  virtual ~StateStore() = default;

  // Takes over `initial` [n], contiguous. -> its slot, counted from 0.
  virtual int Add(const at::Tensor& initial) = 0;
  // Starts bringing a slot to memory; a hint.
  virtual void Prefetch(int slot) = 0;
  // The slot's tensor [n], readable and writable on the device, until Close. A slot is open once at a
  // time; at most `buffers - 1` slots are open at once on kNvme.
  virtual at::Tensor Open(int slot) = 0;
  // Ends the use; with `changed`, starts writing it back. The next Open of the slot waits for that.
  virtual void Close(int slot, bool changed) = 0;

  // Whether what Open gives stays where it is between uses.
  virtual bool stays() const = 0;
  virtual Tier tier() const = 0;
  // "device", "host memory", "files in PATH (io_uring, direct)"
  virtual std::string Describe() const = 0;
  // Bytes read and written so far (kNvme).
  virtual int64_t bytes_read() const = 0;
  virtual int64_t bytes_written() const = 0;
};

}  // namespace orthant
