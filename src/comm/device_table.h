// DeviceTable: what the nccl backend asks of the device: streams, events, which tensors lie there. Filled
// from CUDA (src/comm/cuda), or by a fake in tests, so that the backend itself compiles without CUDA.
#pragma once

#include "ATen/core/Tensor.h"

namespace orthant {

// A queue of the device; null is its default stream. And a mark in a queue. Never seen inside.
struct DeviceStream;
struct DeviceEvent;

// Functions that return int: 0, or an error code for error_text. Any thread may call them; what a thread's
// current device is, is its own affair. `self` goes with every call.
struct DeviceTable {
  void* self = nullptr;

  // Whether the tensor's memory is the device's, so that its operations go over NCCL.
  bool (*on_device)(void* self, const at::Tensor& tensor) = nullptr;

  int (*current_device)(void* self, int* device) = nullptr;  // of the calling thread
  int (*set_device)(void* self, int device) = nullptr;
  // The stream that the calling thread's kernels go to.
  DeviceStream* (*current_stream)(void* self) = nullptr;
  // Whether what goes to the stream is being recorded into a graph instead of run.
  bool (*capturing)(void* self, DeviceStream* stream) = nullptr;

  // A stream of its own (not one of a pool, which may be given twice), that runs before the compute streams
  // and does not wait for the default stream.
  int (*create_stream)(void* self, DeviceStream** stream) = nullptr;
  int (*destroy_stream)(void* self, DeviceStream* stream) = nullptr;

  int (*create_event)(void* self, DeviceEvent** event) = nullptr;
  int (*destroy_event)(void* self, DeviceEvent* event) = nullptr;
  // The event is done when everything that is in the stream now is.
  int (*record_event)(void* self, DeviceEvent* event, DeviceStream* stream) = nullptr;
  int (*query_event)(void* self, DeviceEvent* event, bool* done) = nullptr;
  // What comes into the stream from now on runs after the event. The caller goes on.
  int (*stream_wait)(void* self, DeviceStream* stream, DeviceEvent* event) = nullptr;

  // One element of fp32 on the current device.
  at::Tensor (*one_element)(void* self) = nullptr;

  const char* (*error_text)(void* self, int code) = nullptr;
};

}  // namespace orthant
