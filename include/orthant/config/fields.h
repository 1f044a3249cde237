// Described fields: one line a field (name, type, default, unit, range, doc) drives loading, overrides, the dump
// stored with each run, and docs/configuration.md. A room describes its own section:
//
//   struct ClipConfig { double norm = 1.0; std::string kind = "global"; };
//   void Describe(Fields& f, ClipConfig& c) {
//     f.Real("norm", &c.norm).AtLeast(0).Unit("L2 norm").Doc("Gradients are scaled down to this norm; 0: never.");
//     f.Choice("kind", &c.kind, {"global", "value"}).Doc("What is clipped.");
//   }
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace orthant {

// One described field, bound to the variable that holds its value (whose present value is the default).
// Defined in full by the config room: setters that chain, as in the example above.
class Field {
 public:
  Field& Doc(std::string text);
  Field& Unit(std::string text);
  Field& AtLeast(double low);
  Field& AtMost(double high);
  Field& Above(double low);   // exclusive
  Field& Below(double high);  // exclusive
};

class Fields {
 public:
  Field& Integer(std::string name, int64_t* value);
  Field& Integer(std::string name, int* value);
  Field& Real(std::string name, double* value);
  Field& Bool(std::string name, bool* value);
  Field& Text(std::string name, std::string* value);
  Field& Choice(std::string name, std::string* value, std::vector<std::string> allowed);
  Field& Integers(std::string name, std::vector<int64_t>* value);
  Field& Reals(std::string name, std::vector<double>* value);
  Field& Texts(std::string name, std::vector<std::string>* value);
  // A nested section, described by the function.
  void Section(std::string name, std::string doc, const std::function<void(Fields&)>& describe);
};

}  // namespace orthant
