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

ShadowStage::Held ShadowStage::AttentionForward(const Held&, bool keep, std::vector<Held>& saved) {
  const ActivationShape& s = l_.shape();
  if (!s.dropout) {
    Held out = l_.New(s.Features());
    Held sums = l_.New(s.samples * s.heads * s.context * s.statistic);
    if (keep) saved = {out, std::move(sums)};
    return out;
  }
  const int64_t scores = s.Scores() * s.element;
  Held heads = l_.New(s.CopiesHeads() ? 2 * s.Features() : 0);
  Held ahead = l_.New(s.context * s.context);
  Held masked;
  {
    const Held product = l_.New(scores);
    const Held scaled = l_.New(scores);
    masked = l_.New(scores);
  }
  Held probabilities = l_.New(scores);
  Held dropped = l_.New(scores);
  Held kept = l_.New(s.Scores());
  Held values = l_.New(s.CopiesHeads() ? s.Features() : 0);
  if (keep) saved = {heads, ahead, probabilities, kept, dropped, values};
  return l_.New(s.Features());
}

ShadowStage::Held ShadowStage::AttentionBackward(SavedBlock& saved, Held dy, bool again) {
  const ActivationShape& s = l_.shape();
  const int64_t features = s.Features(), scores = s.Scores() * s.element;
  Held qkv = saved.qkv, output;
  std::vector<Held> kept = std::move(saved.core);
  if (again) output = AttentionForward(qkv, /*keep=*/true, kept);
  saved.qkv = nullptr;
  std::vector<Held> gradients;  // of q, k and v
  if (!s.dropout) {
    for (int i = 0; i < 3; ++i) gradients.push_back(l_.New(features));
  } else {
    Held d = l_.New(scores);
    if (s.CopiesHeads()) l_.ledger().Pass(features);
    gradients.push_back(l_.New(features));
    kept[4] = kept[5] = nullptr;  // the probabilities after dropout, the values
    d = l_.New(scores);
    kept[3] = nullptr;
    d = l_.New(scores);  // softmax
    kept[2] = nullptr;
    d = l_.New(scores);  // what lies ahead
    kept[1] = nullptr;
    d = l_.New(scores);  // scale
    gradients.push_back(l_.New(features));
    gradients.push_back(l_.New(features));
  }
  kept.clear();
  dy = nullptr;
  const Held leaf = again ? qkv : nullptr;  // the leaf of the graph that was made again
  qkv = nullptr;
  // Each of q, k and v becomes a gradient of all three, and these are summed.
  Held sum = l_.New(3 * features);
  gradients.pop_back();
  l_.ledger().Pass(3 * features);
  gradients.pop_back();
  l_.ledger().Pass(3 * features);
  gradients.pop_back();
  if (s.sequence > 1 && !again) return sum;
  return l_.New(3 * features);  // in the order of the projection's output
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
