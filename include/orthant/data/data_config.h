// The `data` section of a run's configuration: which prepared tokens to train on.
#pragma once

#include <cstdint>
#include <string>

#include "orthant/config/fields.h"

namespace orthant {

struct DataConfig {
  std::string path;       // folder that `orthant data prepare` wrote
  std::string tokenizer;  // "char", "byte" or "": as prepared; anything else than prepared is an error
  std::string source = "tokens";  // "tokens" (files in `path`) or "synthetic" (drawn, no files)
  int64_t synthetic_vocab = 65;
  int64_t synthetic_tokens = 1000000;
  bool prefetch = true;
};

void Describe(Fields& fields, DataConfig& config);

}  // namespace orthant
