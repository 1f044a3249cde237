// What counts as agreement, and that the bounds of 16 bits are those that rounding explains.
#include "orthant/train/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "orthant/config/config.h"
#include "orthant/train/layouts.h"

namespace orthant {
namespace {

// One unit with "w" [4, 6], the second half of its rows padded from 7 to 8, and "b" [3]; values of ones.
struct Unit {
  explicit Unit(at::ScalarType dtype = at::kDouble) {
    std::vector<ParameterSpec> specs = {ShardedSpec("w", {7, 6}, 0, 2, 1, {}, true),
                                        WholeSpec("b", {3}, {Init::Kind::kOnes, 0.0}, false)};
    specs[0].init.kind = Init::Kind::kOnes;
    unit = std::make_unique<ShardedUnit>("unit", specs,
                                         UnitOptions{.dtype = dtype, .gradient_dtype = at::kDouble});
  }
  const at::Tensor& Value(const std::string& name) const { return unit->Find(name)->value(); }
  std::unique_ptr<ShardedUnit> unit;
};

LogicalTensors Ones() {
  return {{"w", at::ones({7, 6}, at::kDouble)}, {"b", at::ones({3}, at::kDouble)}};
}

// Values may differ by this much, and nothing else at all.
Tolerance Only(double values) {
  Tolerance tolerance = kNoDifference;
  tolerance.values = values;
  return tolerance;
}

Differences Compare(const Unit& unit, const Tolerance& tolerance, const LogicalTensors& reference = Ones(),
                    const LogicalTensors& counting = {}) {
  Differences differences(tolerance);
  differences.AddTensors({unit.unit.get()}, What::kValue, reference, counting);
  return differences;
}

TEST(Differences, NumbersAreRelativeAndHeldToTheirBound) {
  Differences differences({.numbers = 1e-3});
  differences.AddNumber("loss", 4.0, 4.0);
  EXPECT_EQ(differences.worst(), 0.0);
  differences.AddNumber("loss", 4.0 * (1 - 0.9e-3), 4.0);
  EXPECT_EQ(differences.first_name(), "");
  differences.AddNumber("grad_norm", 0.2 * (1 + 1.1e-3), 0.2);
  EXPECT_EQ(differences.first_name(), "grad_norm");
  EXPECT_NEAR(differences.first(), 1.1e-3, 1e-9);
  EXPECT_NEAR(differences.largest().numbers, 1.1e-3, 1e-9);
  EXPECT_EQ(differences.largest().values, 0.0);
}

TEST(Differences, TensorsAreRelativeToTheLargestElementAndHeldToTheBoundOfTheirKind) {
  Unit unit;
  LogicalTensors reference = Ones();
  reference["b"][2] = 10.0;
  unit.Value("b")[2] = 10.0;
  unit.Value("b")[0] = 1.0 + 0.02;
  const Differences loose = Compare(unit, Only(0.003), reference);
  EXPECT_EQ(loose.first_name(), "");
  EXPECT_EQ(loose.worst_name(), "value of b");
  EXPECT_NEAR(loose.worst(), 0.002, 1e-12);
  const Differences tight = Compare(unit, Only(0.001), reference);
  EXPECT_EQ(tight.first_name(), "value of b") << "a difference beyond the bound of values fails";
  EXPECT_NEAR(tight.largest().values, 0.002, 1e-12);
  EXPECT_EQ(tight.largest().gradients, 0.0);
}

TEST(Differences, PaddingAndWhatIsNotFiniteNeverPass) {
  const Tolerance wide = Only(0.5);
  const LogicalTensors nothing_counts = {{"w", at::zeros({7, 6}, at::kBool)},
                                         {"b", at::zeros({3}, at::kBool)}};
  Unit padded;
  EXPECT_EQ(Compare(padded, wide, Ones(), nothing_counts).first_name(), "");
  padded.Value("w")[3][0] = 1e-30;  // rows 4 to 6 of 7, and one of padding
  EXPECT_EQ(Compare(padded, wide, Ones(), nothing_counts).first_name(), "padding of w");
  Unit broken;
  broken.Value("b")[1] = NAN;
  const Differences differences = Compare(broken, wide, Ones(), nothing_counts);
  EXPECT_EQ(differences.first_name(), "value of b");
  EXPECT_EQ(differences.first(), std::numeric_limits<double>::infinity());
}

TEST(Differences, ValuesCountWhereTheyAreSaidTo) {
  Unit unit;
  unit.Value("w")[1][2] = 3.0;  // row 5 of the logical tensor
  const Tolerance tolerance = Only(0.1);
  LogicalTensors counting = {{"w", at::ones({7, 6}, at::kBool)}, {"b", at::ones({3}, at::kBool)}};
  EXPECT_EQ(Compare(unit, tolerance, Ones(), counting).first_name(), "value of w");
  counting["w"][5][2] = false;
  EXPECT_EQ(Compare(unit, tolerance, Ones(), counting).first_name(), "");
  EXPECT_EQ(Compare(unit, tolerance).first_name(), "value of w") << "without a word of it, all count";
}

TEST(Differences, TheFirstGradientHasABoundOfItsOwn) {
  Unit unit;
  for (const auto& parameter : unit.unit->parameters()) parameter->grad().fill_(1.001);
  unit.unit->Find("w")->grad()[3].zero_();  // padding
  const Tolerance tolerance = {.first_gradients = 1e-4, .gradients = 1e-2};
  Differences later(tolerance), first(tolerance);
  later.AddTensors({unit.unit.get()}, What::kGradient, Ones());
  EXPECT_EQ(later.first_name(), "");
  EXPECT_NEAR(later.largest().gradients, 1e-3, 1e-9);
  first.AddTensors({unit.unit.get()}, What::kFirstGradient, Ones());
  EXPECT_THAT(first.first_name(), ::testing::StartsWith("gradient of "));
  EXPECT_NEAR(first.largest().first_gradients, 1e-3, 1e-9);
  EXPECT_EQ(first.largest().gradients, 0.0);
}

TEST(Differences, MergingKeepsTheWorstOfBoth) {
  Differences a({.numbers = 0.5}), b({.numbers = 0.5});
  a.AddNumber("loss", 1.1, 1.0);
  b.AddNumber("grad_norm", 1.7, 1.0);
  a.Merge(b);
  EXPECT_EQ(a.worst_name(), "grad_norm");
  EXPECT_EQ(a.first_name(), "grad_norm");
  EXPECT_NEAR(a.largest().numbers, 0.7, 1e-12);
}

Reference OneRank(const std::string& dtype) {
  RunConfig config;
  const auto loaded = LoadConfig(std::string(ORTHANT_SOURCE_DIR) + "/configs/verify.yaml",
                                 {"train.dtype=" + dtype, "data.prefetch=false"},
                                 [&](Fields& fields) { Describe(fields, config); });
  EXPECT_TRUE(loaded.ok()) << loaded.status().message();
  const auto run = PrepareRun(With(config, Layout{}), nullptr);
  EXPECT_TRUE(run.ok()) << run.status().message();
  return RunReference(*run, 3);
}

double Relative(const at::Tensor& tensor, const at::Tensor& exact) {
  return ((tensor.to(at::kDouble) - exact).abs().max() / exact.abs().max()).item<double>();
}

// How far one run is from another by kind, as Differences has it, values aside.
Tolerance Between(const Reference& run, const Reference& exact) {
  Tolerance worst = kNoDifference;
  const auto relative = [](double x, double y) { return std::abs(x - y) / std::abs(y); };
  for (size_t i = 0; i < run.losses.size(); ++i) {
    worst.numbers = std::max(
        {worst.numbers, relative(run.losses[i], exact.losses[i]), relative(run.norms[i], exact.norms[i])});
    double& gradients = i == 0 ? worst.first_gradients : worst.gradients;
    for (const auto& [name, gradient] : run.gradients[i]) {
      gradients = std::max(gradients, Relative(gradient, exact.gradients[i].at(name)));
    }
  }
  return worst;
}

// On one rank, without any communication: what a lower precision alone does to the same run. Bounds far above
// that would let mistakes pass.
TEST(ToleranceFor, IsOfTheOrderOfWhatRoundingAloneDoes) {
  const Reference exact = OneRank("fp64");
  for (const char* dtype : {"fp32", "bf16"}) {
    const Tolerance rounding = Between(OneRank(dtype), exact), bound = ToleranceFor(dtype);
    for (double Tolerance::*kind :
         {&Tolerance::numbers, &Tolerance::first_gradients, &Tolerance::gradients}) {
      EXPECT_LT(rounding.*kind, bound.*kind) << dtype;
      EXPECT_GT(rounding.*kind, bound.*kind / 50) << dtype;
    }
    std::printf("%s, one rank against fp64: loss and norm %.1e, gradients of step 1 %.1e, later %.1e\n",
                dtype, rounding.numbers, rounding.first_gradients, rounding.gradients);
  }
}

}  // namespace
}  // namespace orthant
