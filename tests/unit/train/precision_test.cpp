// Which types a run's values, gradients and transfers have.
#include <gtest/gtest.h>

#include <string>

#include "ATen/ATen.h"
#include "orthant/train/parallel_model.h"

namespace orthant {
namespace {

std::string Types(const std::string& dtype, const std::string& gradients = "fp32",
                  const std::string& reduction = "gradient") {
  TrainConfig config;
  config.dtype = dtype;
  config.gradient_dtype = gradients;
  config.reduce_dtype = reduction;
  const Precision p = PrecisionOf(config);
  const auto name = [](at::ScalarType type) {
    return type == at::kDouble     ? "fp64"
           : type == at::kFloat    ? "fp32"
           : type == at::kBFloat16 ? "bf16"
                                   : "fp16";
  };
  return std::string(name(p.values)) + " " + name(p.gradients) + " " + name(p.reduction);
}

TEST(PrecisionOf, SixteenBitsAccumulateAndTravelInFp32UnlessTold) {
  for (const std::string dtype : {"bf16", "fp16"}) {
    EXPECT_EQ(Types(dtype), dtype + " fp32 fp32");
    EXPECT_EQ(Types(dtype, "fp32", "fp32"), dtype + " fp32 fp32");
    EXPECT_EQ(Types(dtype, "fp32", "same"), dtype + " fp32 " + dtype);
    EXPECT_EQ(Types(dtype, "same", "gradient"), dtype + " " + dtype + " " + dtype);
    EXPECT_EQ(Types(dtype, "same", "fp32"), dtype + " " + dtype + " fp32");
    EXPECT_EQ(Types(dtype, "same", "same"), dtype + " " + dtype + " " + dtype);
  }
}

TEST(PrecisionOf, WiderTypesKeepToThemselves) {
  for (const std::string dtype : {"fp64", "fp32"}) {
    for (const char* gradients : {"fp32", "same"}) {
      for (const char* reduction : {"gradient", "fp32", "same"}) {
        EXPECT_EQ(Types(dtype, gradients, reduction), dtype + " " + dtype + " " + dtype);
      }
    }
  }
}

}  // namespace
}  // namespace orthant
