// The CUDA runtime as a device table, with LibTorch's current stream. Only in builds with CUDA.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include "comm/device_table.h"
#include "orthant/comm/nccl.h"

namespace orthant {
namespace {

cudaStream_t To(DeviceStream* stream) {
  return reinterpret_cast<cudaStream_t>(stream);
}
cudaEvent_t To(DeviceEvent* event) {
  return reinterpret_cast<cudaEvent_t>(event);
}

bool OnDevice(void*, const at::Tensor& tensor) {
  return tensor.is_cuda();
}
int CurrentDevice(void*, int* device) {
  return cudaGetDevice(device);
}
int SetDevice(void*, int device) {
  return cudaSetDevice(device);
}
DeviceStream* CurrentStream(void*) {
  return reinterpret_cast<DeviceStream*>(c10::cuda::getCurrentCUDAStream().stream());
}
bool Capturing(void*, DeviceStream* stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  return cudaStreamIsCapturing(To(stream), &status) == cudaSuccess && status != cudaStreamCaptureStatusNone;
}
int CreateStream(void*, DeviceStream** stream) {
  int lowest = 0;
  int highest = 0;
  if (const cudaError_t error = cudaDeviceGetStreamPriorityRange(&lowest, &highest); error != cudaSuccess) {
    return error;
  }
  return cudaStreamCreateWithPriority(reinterpret_cast<cudaStream_t*>(stream), cudaStreamNonBlocking,
                                      highest);
}
int DestroyStream(void*, DeviceStream* stream) {
  return cudaStreamDestroy(To(stream));
}
int CreateEvent(void*, DeviceEvent** event) {
  return cudaEventCreateWithFlags(reinterpret_cast<cudaEvent_t*>(event), cudaEventDisableTiming);
}
int DestroyEvent(void*, DeviceEvent* event) {
  return cudaEventDestroy(To(event));
}
int RecordEvent(void*, DeviceEvent* event, DeviceStream* stream) {
  return cudaEventRecord(To(event), To(stream));
}
int QueryEvent(void*, DeviceEvent* event, bool* done) {
  const cudaError_t state = cudaEventQuery(To(event));
  *done = state == cudaSuccess;
  if (state != cudaErrorNotReady) return state;
  cudaGetLastError();  // not ready is an answer, not an error for the next who asks
  return cudaSuccess;
}
int StreamWait(void*, DeviceStream* stream, DeviceEvent* event) {
  return cudaStreamWaitEvent(To(stream), To(event), 0);
}
at::Tensor OneElement(void*) {
  return at::zeros({1}, at::TensorOptions().dtype(at::kFloat).device(at::kCUDA));
}
const char* ErrorText(void*, int code) {
  return cudaGetErrorString(static_cast<cudaError_t>(code));
}

constexpr DeviceTable kTable = {
    .self = nullptr,
    .on_device = OnDevice,
    .current_device = CurrentDevice,
    .set_device = SetDevice,
    .current_stream = CurrentStream,
    .capturing = Capturing,
    .create_stream = CreateStream,
    .destroy_stream = DestroyStream,
    .create_event = CreateEvent,
    .destroy_event = DestroyEvent,
    .record_event = RecordEvent,
    .query_event = QueryEvent,
    .stream_wait = StreamWait,
    .one_element = OneElement,
    .error_text = ErrorText,
};

}  // namespace

const DeviceTable* RealDeviceTable() {
  return &kTable;
}

}  // namespace orthant
