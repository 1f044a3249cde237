// The name of one communication: what it is for and where in the model and the step it stands.
// Cheap to make (no allocation); formatted only when somebody reads it.
#pragma once

#include <string>

namespace orthant {

struct Label {
  // A string literal, as "attn.out": the record keeps the pointer, not the text.
  const char* what = "";
  int layer = -1;       // -1: not inside a layer
  int microbatch = -1;  // -1: not inside a microbatch

  Label() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a literal is a label wherever one is asked for.
  Label(const char* what_in, int layer_in = -1, int microbatch_in = -1)
      : what(what_in), layer(layer_in), microbatch(microbatch_in) {}
};

// "attn.out layer=7 mb=3"
std::string ToString(const Label& label);

}  // namespace orthant
