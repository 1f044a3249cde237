// A word in the place of a whole section: it sets the section's key `layout`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orthant/config/config.h"
#include "unit/data/folder.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;

struct MeshConfig {
  std::string layout = "written";
  int64_t data = 1, tensor = 1;
  int64_t batch = 2;
};

void Describe(Fields& f, MeshConfig& c) {
  f.Section("mesh", "The mesh.", [&](Fields& s) {
    s.Choice("layout", &c.layout, {"written", "auto"}).Doc("How.");
    s.Integer("data", &c.data).AtLeast(1).Doc("Degree.");
    s.Integer("tensor", &c.tensor).AtLeast(1).Doc("Degree.");
  });
  f.Section("train", "Steps.", [&](Fields& s) { s.Integer("batch", &c.batch).AtLeast(1).Doc("Samples."); });
}

absl::StatusOr<LoadedConfig> Load(const std::string& text, const std::vector<std::string>& overrides,
                                  MeshConfig* config) {
  return LoadConfigFromText(text, "run.yaml", overrides, [config](Fields& f) { Describe(f, *config); });
}

std::string ErrorOf(const std::string& text, const std::vector<std::string>& overrides = {}) {
  MeshConfig config;
  return std::string(Load(text, overrides, &config).status().message());
}

TEST(SectionWord, SetsItsKey) {
  MeshConfig config;
  const auto loaded = Load("train: {batch: 4}\nmesh: auto\n", {}, &config);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(config.layout, "auto");
  EXPECT_EQ(loaded->OriginOf("mesh.layout"), "run.yaml:2");
  EXPECT_TRUE(loaded->IsDefault("mesh.data"));
}

TEST(SectionWord, ReplacesWhatWasSetOfTheSectionBefore) {
  MeshConfig config;
  const auto loaded =
      Load("mesh: {data: 4, tensor: 2}\ntrain: {batch: 4}\n", {"mesh=auto", "mesh.tensor=3"}, &config);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(config.data, 1) << "of the file, which the word replaces";
  EXPECT_TRUE(loaded->IsDefault("mesh.data"));
  EXPECT_EQ(config.tensor, 3) << "set after it";
  EXPECT_EQ(loaded->OriginOf("mesh.tensor"), "command line");
  EXPECT_EQ(config.batch, 4) << "of another section";
}

TEST(SectionWord, ReplacesAnIncludedSection) {
  const Folder folder;
  folder.Write("base.yaml", "mesh: {data: 4}\n");
  const std::string run = folder.Write("run.yaml", "include: base.yaml\nmesh: auto\n");
  MeshConfig config;
  const auto loaded = LoadConfig(run, {}, [&](Fields& f) { Describe(f, config); });
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(config.data, 1);
}

TEST(SectionWord, AWrongOneIsToldWithItsPlaceAndTheNearest) {
  EXPECT_THAT(ErrorOf("mesh: outo\n"),
              HasSubstr("run.yaml:1: mesh.layout: 'outo' is not one of written, auto; did you mean auto?"));
  EXPECT_THAT(ErrorOf("", {"mesh=outo"}), HasSubstr("command line: mesh.layout: 'outo'"));
  EXPECT_THAT(ErrorOf("train: auto\n"), HasSubstr("run.yaml:1: train is a section")) << "it has no word";
  EXPECT_THAT(ErrorOf("", {"train=auto"}), HasSubstr("train is a section"));
  EXPECT_THAT(ErrorOf("mesh: [auto]\n"), HasSubstr("mesh is a section: a map of keys, not a list"));
}

}  // namespace
}  // namespace orthant::testing
