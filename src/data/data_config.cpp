#include "orthant/data/data_config.h"

namespace orthant {

void Describe(Fields& fields, DataConfig& config) {
  fields.Text("path", &config.path)
      .Doc("Folder that `orthant data prepare` wrote: train.bin, val.bin, data.json.");
  fields.Choice("tokenizer", &config.tokenizer, {"", "char", "byte"})
      .Doc(
          "Tokenizer the run expects; \"\" takes the one the data was prepared with. A mismatch is an "
          "error.");
  fields.Choice("source", &config.source, {"tokens", "synthetic"})
      .Doc(
          "tokens: the files in `path`. synthetic: uniform random tokens drawn by position, no files "
          "needed.");
  fields.Integer("synthetic_vocab", &config.synthetic_vocab)
      .AtLeast(2)
      .AtMost(4294967296.0)
      .Unit("classes")
      .Doc("Vocabulary of the synthetic source.");
  fields.Integer("synthetic_tokens", &config.synthetic_tokens)
      .AtLeast(2)
      .Unit("tokens")
      .Doc("Length of the synthetic training stream; the validation stream has a ninth of it.");
  fields.Bool("prefetch", &config.prefetch)
      .Doc("Read the next step's batches on a thread while this step computes.");
}

}  // namespace orthant
