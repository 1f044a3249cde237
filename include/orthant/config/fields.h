// Described fields: one line a field (name, type, default, unit, range, doc) drives loading, overrides, the
// dump stored with each run, and docs/configuration.md. A room describes its own section:
//
//   struct ClipConfig { double norm = 1.0; std::string kind = "global"; };
//   void Describe(Fields& f, ClipConfig& c) {
//     f.Real("norm", &c.norm).AtLeast(0).Unit("L2 norm").Doc("Gradients are scaled down to this norm; 0:
//     never."); f.Choice("kind", &c.kind, {"global", "value"}).Doc("What is clipped.");
//   }
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace orthant {

enum class FieldKind { kInteger, kBytes, kReal, kBool, kText, kChoice, kIntegers, kReals, kTexts };
// "integer", "bytes", "real", "true or false", "text", "one of", "list of integers", ...
std::string KindName(FieldKind kind);

// A value of any kind; kText and kChoice are both std::string.
using FieldValue = std::variant<int64_t, double, bool, std::string, std::vector<int64_t>, std::vector<double>,
                                std::vector<std::string>>;

// The legal range of a number (of each element, for a list).
struct Bounds {
  std::optional<double> low, high;
  bool low_exclusive = false, high_exclusive = false;
};

// One described field, bound to the variable that holds its value (whose present value is the default).
class Field {
 public:
  using Target = std::variant<int64_t*, int*, double*, bool*, std::string*, std::vector<int64_t>*,
                              std::vector<double>*, std::vector<std::string>*>;
  Field(std::string key, FieldKind kind, Target target, std::vector<std::string> allowed);

  // Setters, which chain. Every field has a Doc: a whole sentence.
  Field& Doc(std::string text);
  Field& Unit(std::string text);
  Field& AtLeast(double low);
  Field& AtMost(double high);
  Field& Above(double low);    // exclusive
  Field& Below(double high);   // exclusive
  Field& Count(size_t count);  // lists: exactly this many elements
  Field& Required();           // has no default: a file or the command line must set it

  const std::string& key() const { return key_; }  // dotted: "model.layers"
  FieldKind kind() const { return kind_; }
  const std::vector<std::string>& allowed() const { return allowed_; }  // kChoice
  const std::string& doc() const { return doc_; }
  const std::string& unit() const { return unit_; }
  const Bounds& bounds() const { return bounds_; }
  std::optional<size_t> count() const { return count_; }
  bool required() const { return required_; }

  // The bound variable's value, and a new one for it (of this field's kind; an int variable must hold it).
  FieldValue Get() const;
  void Set(const FieldValue& value) const;

 private:
  std::string key_;
  FieldKind kind_;
  Target target_;
  std::vector<std::string> allowed_;
  std::string doc_, unit_;
  Bounds bounds_;
  std::optional<size_t> count_;
  bool required_ = false;
};

// A section's key and doc.
struct SectionDescription {
  std::string key;  // dotted; "" is the top
  std::string doc;
};

// The fields of a configuration in the order of their description. The bound variables must outlive it.
// Describing a name twice is a bug and throws std::logic_error.
class Fields {
 public:
  Fields();

  Field& Integer(std::string name, int64_t* value);
  Field& Integer(std::string name, int* value);
  // Bytes, at least 0 unless a later bound says otherwise: written `4096`, `512 MiB`, `1.5 GB`; in JSON an
  // integer.
  Field& Bytes(std::string name, int64_t* value);
  Field& Real(std::string name, double* value);
  Field& Bool(std::string name, bool* value);
  Field& Text(std::string name, std::string* value);
  Field& Choice(std::string name, std::string* value, std::vector<std::string> allowed);
  Field& Integers(std::string name, std::vector<int64_t>* value);
  Field& Reals(std::string name, std::vector<double>* value);
  Field& Texts(std::string name, std::vector<std::string>* value);
  // A nested section, described by the function.
  void Section(std::string name, std::string doc, const std::function<void(Fields&)>& describe);

  // Every field, whatever its section.
  const std::vector<std::unique_ptr<Field>>& all() const { return shared_->fields; }
  // Every section, the top ("") first.
  const std::vector<SectionDescription>& sections() const { return shared_->sections; }
  const Field* Find(const std::string& key) const;
  bool IsSection(const std::string& key) const;

 private:
  struct Shared {
    std::vector<std::unique_ptr<Field>> fields;
    std::vector<SectionDescription> sections;
  };
  Fields(std::shared_ptr<Shared> shared, std::string prefix);
  Field& Add(std::string name, FieldKind kind, Field::Target target, std::vector<std::string> allowed = {});

  std::shared_ptr<Shared> shared_;  // one for a configuration, seen from each of its sections
  std::string prefix_;              // "model." or ""
};

// "model.heads" -> "model"; "run" -> "".
std::string SectionOf(const std::string& key);
// "model.heads" -> "heads".
std::string NameOf(const std::string& key);

}  // namespace orthant
