#include "orthant/config/fields.h"

#include <algorithm>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace orthant {

std::string KindName(FieldKind kind) {
  switch (kind) {
    case FieldKind::kInteger:
      return "integer";
    case FieldKind::kBytes:
      return "bytes";
    case FieldKind::kReal:
      return "real";
    case FieldKind::kBool:
      return "true or false";
    case FieldKind::kText:
      return "text";
    case FieldKind::kChoice:
      return "one of";
    case FieldKind::kIntegers:
      return "list of integers";
    case FieldKind::kReals:
      return "list of reals";
    case FieldKind::kTexts:
      return "list of texts";
  }
  return "";
}

std::string SectionOf(const std::string& key) {
  const size_t dot = key.rfind('.');
  return dot == std::string::npos ? "" : key.substr(0, dot);
}

std::string NameOf(const std::string& key) {
  const size_t dot = key.rfind('.');
  return dot == std::string::npos ? key : key.substr(dot + 1);
}

Field::Field(std::string key, FieldKind kind, Target target, std::vector<std::string> allowed)
    : key_(std::move(key)), kind_(kind), target_(target), allowed_(std::move(allowed)) {}

Field& Field::Doc(std::string text) {
  doc_ = std::move(text);
  return *this;
}
Field& Field::Unit(std::string text) {
  unit_ = std::move(text);
  return *this;
}
Field& Field::AtLeast(double low) {
  bounds_.low = low;
  bounds_.low_exclusive = false;
  return *this;
}
Field& Field::AtMost(double high) {
  bounds_.high = high;
  bounds_.high_exclusive = false;
  return *this;
}
Field& Field::Above(double low) {
  bounds_.low = low;
  bounds_.low_exclusive = true;
  return *this;
}
Field& Field::Below(double high) {
  bounds_.high = high;
  bounds_.high_exclusive = true;
  return *this;
}
Field& Field::Count(size_t count) {
  count_ = count;
  return *this;
}
Field& Field::Required() {
  required_ = true;
  return *this;
}

FieldValue Field::Get() const {
  return std::visit(
      [](auto* target) -> FieldValue {
        if constexpr (std::is_same_v<decltype(target), int*>) {
          return static_cast<int64_t>(*target);
        } else {
          return *target;
        }
      },
      target_);
}

void Field::Set(const FieldValue& value) const {
  std::visit(
      [&](auto* target) {
        if constexpr (std::is_same_v<decltype(target), int*>) {
          *target = static_cast<int>(std::get<int64_t>(value));
        } else {
          *target = std::get<std::remove_pointer_t<decltype(target)>>(value);
        }
      },
      target_);
}

Fields::Fields() : shared_(std::make_shared<Shared>()) {
  shared_->sections.push_back({"", ""});
}

Fields::Fields(std::shared_ptr<Shared> shared, std::string prefix)
    : shared_(std::move(shared)), prefix_(std::move(prefix)) {}

Field& Fields::Add(std::string name, FieldKind kind, Field::Target target, std::vector<std::string> allowed) {
  const std::string key = prefix_ + name;
  if (Find(key) != nullptr || IsSection(key))
    throw std::logic_error("configuration key described twice: " + key);
  shared_->fields.push_back(std::make_unique<Field>(key, kind, target, std::move(allowed)));
  Field& field = *shared_->fields.back();
  if (std::holds_alternative<int*>(target)) field.AtLeast(INT32_MIN).AtMost(INT32_MAX);
  return field;
}

Field& Fields::Integer(std::string name, int64_t* value) {
  return Add(std::move(name), FieldKind::kInteger, value);
}
Field& Fields::Integer(std::string name, int* value) {
  return Add(std::move(name), FieldKind::kInteger, value);
}
Field& Fields::Bytes(std::string name, int64_t* value) {
  return Add(std::move(name), FieldKind::kBytes, value).AtLeast(0);
}
Field& Fields::Real(std::string name, double* value) {
  return Add(std::move(name), FieldKind::kReal, value);
}
Field& Fields::Bool(std::string name, bool* value) {
  return Add(std::move(name), FieldKind::kBool, value);
}
Field& Fields::Text(std::string name, std::string* value) {
  return Add(std::move(name), FieldKind::kText, value);
}
Field& Fields::Choice(std::string name, std::string* value, std::vector<std::string> allowed) {
  return Add(std::move(name), FieldKind::kChoice, value, std::move(allowed));
}
Field& Fields::Integers(std::string name, std::vector<int64_t>* value) {
  return Add(std::move(name), FieldKind::kIntegers, value);
}
Field& Fields::Reals(std::string name, std::vector<double>* value) {
  return Add(std::move(name), FieldKind::kReals, value);
}
Field& Fields::Texts(std::string name, std::vector<std::string>* value) {
  return Add(std::move(name), FieldKind::kTexts, value);
}

void Fields::Section(std::string name, std::string doc, const std::function<void(Fields&)>& describe) {
  const std::string key = prefix_ + name;
  if (Find(key) != nullptr || IsSection(key))
    throw std::logic_error("configuration key described twice: " + key);
  shared_->sections.push_back({key, std::move(doc)});
  Fields section(shared_, key + ".");
  describe(section);
}

const Field* Fields::Find(const std::string& key) const {
  const auto found = std::find_if(shared_->fields.begin(), shared_->fields.end(),
                                  [&](const auto& field) { return field->key() == key; });
  return found == shared_->fields.end() ? nullptr : found->get();
}

bool Fields::IsSection(const std::string& key) const {
  return std::any_of(shared_->sections.begin(), shared_->sections.end(),
                     [&](const auto& section) { return section.key == key; });
}

}  // namespace orthant
