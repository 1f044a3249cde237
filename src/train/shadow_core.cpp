// The attention core and the loss of ShadowStage.
#include <algorithm>
#include <utility>

#include "ATen/ATen.h"
#include "train/shadow_stage.h"

namespace orthant {
namespace {

// VocabularyLoss's own default.
constexpr int64_t kLogitsBytes = int64_t{32} << 20;

}  // namespace

ShadowStage::Held ShadowStage::AttentionForward(bool keep, std::vector<Held>& saved) {
  const ActivationShape& s = l_.shape();
  const Held wide = s.widened() ? l_.New(3 * s.CoreFeatures()) : nullptr;
  Held out;
  if (!s.dropout) {
    out = l_.New(s.CoreFeatures());
    const Held sums = l_.New(s.samples * s.heads * s.context * s.statistic);
    if (keep) saved = {wide, out, sums};
  } else {
    const int64_t scores = s.Scores() * s.core;
    const Held heads = l_.New(s.CopiesHeads() ? 2 * s.CoreFeatures() : 0);
    const Held ahead = l_.New(s.context * s.context);
    Held masked;
    {
      const Held product = l_.New(scores);
      const Held scaled = l_.New(scores);
      masked = l_.New(scores);
    }
    const Held probabilities = l_.New(scores);
    const Held dropped = l_.New(scores);
    const Held kept = l_.New(s.Scores());
    const Held values = l_.New(s.CopiesHeads() ? s.CoreFeatures() : 0);
    if (keep) saved = {s.CopiesHeads() ? nullptr : wide, heads, ahead, probabilities, kept, dropped, values};
    out = l_.New(s.CoreFeatures());
  }
  return s.widened() ? l_.New(s.Features()) : out;
}

ShadowStage::Held ShadowStage::AttentionBackward(SavedBlock& saved, Held dy, bool again) {
  const ActivationShape& s = l_.shape();
  const int64_t features = s.CoreFeatures(), scores = s.Scores() * s.core;
  Held qkv = std::move(saved.qkv), output;
  std::vector<Held> kept = std::move(saved.core);
  if (again) output = AttentionForward(/*keep=*/true, kept);
  if (s.widened()) dy = l_.New(features);
  std::vector<Held> gradients;  // of q, k and v
  if (!s.dropout) {
    for (int i = 0; i < 3; ++i) gradients.push_back(l_.New(features));
  } else {
    Held d = l_.New(scores);
    if (s.CopiesHeads()) l_.ledger().Pass(features);
    gradients.push_back(l_.New(features));
    kept[5] = kept[6] = nullptr;  // the probabilities after dropout, the values
    d = l_.New(scores);
    kept[4] = nullptr;
    d = l_.New(scores);  // softmax
    kept[3] = nullptr;
    d = l_.New(scores);  // what lies ahead
    kept[2] = nullptr;
    d = l_.New(scores);  // scale
    gradients.push_back(l_.New(features));
    gradients.push_back(l_.New(features));
  }
  kept.clear();
  dy = nullptr;
  const Held leaf = again ? qkv : nullptr;  // of the graph that was made again
  qkv = nullptr;
  // Each of q, k and v becomes a gradient of all three, and these are summed.
  Held sum = l_.New(3 * features);
  for (int i = 0; i < 3; ++i) {
    gradients.pop_back();
    if (i < 2) l_.ledger().Pass(3 * features);
  }
  if (s.widened()) sum = l_.New(3 * s.Features());
  if (s.sequence > 1 && !again) return sum;
  return l_.New(3 * s.Features());  // in the order of the projection's output
}

void ShadowStage::Loss(Held x, Saved& saved) {
  const ActivationShape& s = l_.shape();
  Held y;
  saved.norm_input = std::move(x);
  saved.norm_statistics = l_.NormForward(final_norm_, &y);
  Held whole;
  if (s.held != s.tokens) whole = l_.Gather();
  saved.loss_gradient = l_.New(s.Whole());
  ShadowUnit& table = *projection_.tiles.front();
  table.Read();
  const ProductRoute& route = l_.route();
  const int64_t element = route.through_float ? 4 : s.element, wide = std::max<int64_t>(4, s.element);
  const int64_t classes = projection_.out;
  const int64_t rows = std::min(s.Rows(), std::max<int64_t>(1, kLogitsBytes / (classes * wide)));
  Held value, narrow;
  if (route.through_float) {
    value = l_.New(classes * s.hidden * 4);
    narrow = l_.New(rows * s.hidden * 4);
  }
  const Held product = l_.New(rows * classes * element);
  Held logits;
  if (element != wide) logits = l_.New(rows * classes * wide);
  l_.ledger().Pass(rows * s.hidden * element);
  l_.AddProduct(table, rows, classes, s.hidden, /*widened=*/true);
  if (tied_) AfterForwardOf(share_.embedding ? embedding_ : table_);
}

ShadowStage::Held ShadowStage::LossBackward(Saved& saved) {
  Held dx = std::move(saved.loss_gradient);
  if (l_.shape().held != l_.shape().tokens) {
    const Held whole = std::move(dx);
    dx = l_.ReduceScatter();
  }
  projection_.tiles.front()->Done();
  Held d = l_.NormBackward(final_norm_);
  saved.norm_input = saved.norm_statistics = nullptr;
  return d;
}

}  // namespace orthant
