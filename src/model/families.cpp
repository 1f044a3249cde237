// The table of model families: a new one is a class behind StageModel and a line here.
#include "orthant/model/gpt2.h"
#include "orthant/model/stage_model.h"

namespace orthant {
namespace {

using Maker = std::unique_ptr<StageModel> (*)(const ModelConfig&, const StageShare&, const StageContext&);

struct Family {
  const char* name;
  Maker make;
};

template <typename Stage>
std::unique_ptr<StageModel> Make(const ModelConfig& config, const StageShare& share,
                                 const StageContext& context) {
  return std::make_unique<Stage>(config, share, context);
}

constexpr Family kFamilies[] = {
    {"gpt2", &Make<Gpt2Stage>},
};

}  // namespace

int64_t StageContext::TokensHeld(int64_t context) const {
  return context / sequence->size() / (tensor.sequence ? tensor.group->size() : 1);
}

int64_t StageContext::FirstToken(int64_t context) const {
  return sequence->rank() * (context / sequence->size()) +
         (tensor.sequence ? tensor.group->rank() * TokensHeld(context) : 0);
}

std::unique_ptr<StageModel> MakeStageModel(const ModelConfig& config, const StageShare& share,
                                           const StageContext& context) {
  for (const Family& family : kFamilies) {
    if (config.family == family.name) return family.make(config, share, context);
  }
  TORCH_CHECK(false, "no model family is named ", config.family);
}

}  // namespace orthant
