// hf_logits CHECKPOINT DTYPE TOKEN...: the logits of this program's own model at each token, as JSON. For
// tests/hf/export_test.py, which compares them with those of Hugging Face's model.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "nlohmann/json.hpp"
#include "orthant/checkpoint/hf_gpt2.h"
#include "orthant/checkpoint/reader.h"
#include "orthant/checkpoint/step_folders.h"
#include "orthant/comm/local.h"
#include "orthant/core/status.h"
#include "orthant/optim/adamw.h"
#include "orthant/train/parallel_model.h"
#include "orthant/train/run_state.h"

namespace orthant {
namespace {

template <typename T>
T ValueOrThrow(absl::StatusOr<T> value) {
  if (!value.ok()) throw StatusError(value.status());
  return *std::move(value);
}

nlohmann::json Logits(const std::string& path, const std::string& dtype, const std::vector<int64_t>& tokens,
                      Communicator& world) {
  const auto reader = ValueOrThrow(CheckpointReader::Open(ValueOrThrow(ResolveCheckpoint(path))));
  RunConfig config;
  config.model = ValueOrThrow(ModelFromJson(reader->manifest().run["model"], path));
  config.train.dtype = dtype;
  const int64_t context = config.model.context;
  if (static_cast<int64_t>(tokens.size()) > context) throw std::runtime_error("more tokens than the context");
  ParallelModel model(config, Mesh(Degrees{}), config.model.vocab, world);
  AdamW optimizer(model.units(), config.optimizer);
  if (absl::Status loaded = LoadState(model, optimizer, *reader, /*all=*/false); !loaded.ok()) {
    throw StatusError(loaded);
  }
  const at::Tensor window = at::zeros({1, context}, at::kLong);
  std::copy(tokens.begin(), tokens.end(), window.data_ptr<int64_t>());
  nlohmann::json rows = nlohmann::json::array();
  for (size_t i = 0; i < tokens.size(); ++i) {
    const at::Tensor row =
        model.NextTokenLogits(window, static_cast<int64_t>(i)).to(at::kDouble).contiguous();
    const double* values = row.const_data_ptr<double>();
    rows.push_back(std::vector<double>(values, values + row.numel()));
  }
  return rows;
}

int Main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: hf_logits CHECKPOINT fp64|fp32|bf16|fp16 TOKEN...\n", stderr);
    return 2;
  }
  std::vector<int64_t> tokens;
  for (int i = 3; i < argc; ++i) tokens.push_back(std::atoll(argv[i]));
  try {
    RunLocal(1, {}, [&](Communicator& world) {
      std::printf("%s\n", Logits(argv[1], argv[2], tokens, world).dump().c_str());
    });
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hf_logits: %s\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace orthant

int main(int argc, char** argv) {
  return orthant::Main(argc, argv);
}
