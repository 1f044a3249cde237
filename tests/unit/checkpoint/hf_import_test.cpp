// Files that other programs wrote, and damaged ones.
#include <functional>
#include <random>

#include "gmock/gmock.h"
#include "orthant/checkpoint/reader.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"
#include "unit/checkpoint/outside_files.h"

namespace orthant::testing {
namespace {

using ::testing::HasSubstr;

// config.json as the hub's gpt2 has it, but for the sizes.
nlohmann::json HubConfig() {
  return {{"activation_function", "gelu_new"},
          {"architectures", {"GPT2LMHeadModel"}},
          {"attn_pdrop", 0.1},
          {"bos_token_id", 50256},
          {"embd_pdrop", 0.1},
          {"eos_token_id", 50256},
          {"initializer_range", 0.02},
          {"layer_norm_epsilon", 1e-05},
          {"model_type", "gpt2"},
          {"n_ctx", 6},
          {"n_embd", 8},
          {"n_head", 2},
          {"n_layer", 2},
          {"n_positions", 6},
          {"n_inner", nullptr},
          {"resid_pdrop", 0.1},
          {"summary_type", "cls_index"},
          {"vocab_size", 11}};
}

// As the hub's gpt2: no "transformer.", the causal mask as buffers, no lm_head.
std::map<std::string, at::Tensor> HubTensors(const std::string& prefix = "") {
  std::map<std::string, at::Tensor> tensors;
  ModelConfig model = TinyModel();
  model.layers = 2;
  model.bias = true;
  for (const OutsideTensor& tensor : HfGpt2Tensors(model)) {
    tensors[prefix + tensor.name.substr(std::string("transformer.").size())] = at::randn(tensor.shape);
  }
  for (const char* layer : {"h.0", "h.1"}) {
    tensors[prefix + layer + ".attn.bias"] = at::ones({1, 1, 6, 6});
    tensors[prefix + layer + ".attn.masked_bias"] = at::full({1}, -1e4);
  }
  return tensors;
}

class HfImportTest : public ::testing::Test {
 protected:
  HfImportTest() { std::filesystem::create_directories(input_); }
  void Write(const nlohmann::json& config, const std::map<std::string, at::Tensor>& tensors) {
    ASSERT_TRUE(WriteJsonFile(input_ + "/config.json", config).ok());
    WriteSafetensors(input_ + "/model.safetensors", tensors);
  }
  // The error that a change of config.json makes.
  std::string RefusedConfig(const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json config = HubConfig();
    change(config);
    Write(config, HubTensors());
    const absl::Status status = TryImport(input_, "hf");
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kData);
    return std::string(status.message());
  }
  const std::string input_ = TempFolder("hub"), output_ = TempFolder("hub_out");
};

TEST_F(HfImportTest, TheHubsGpt2) {
  for (const std::string prefix : {"", "transformer."}) {
    std::filesystem::remove_all(output_);
    const std::map<std::string, at::Tensor> tensors = HubTensors(prefix);
    Write(HubConfig(), tensors);
    ImportOptions options;
    options.input = input_;
    options.output = output_;
    const auto report = ImportCheckpoint(options);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_TRUE(report->notes.empty()) << report->ToText();
    const auto reader = CheckpointReader::Open(output_);
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ((*reader)->manifest().run["model"]["activation"], "gelu_tanh");
    EXPECT_EQ((*reader)->manifest().run["model"]["dropout"], 0.1);
    const at::Tensor qkv = at::empty({3, 8, 8});
    StateTarget target;
    target.tensor = "h.1.attn.c_attn.weight";
    target.shape = {3, 8, 8};
    target.portion = WholeOf(target.shape);
    target.data = static_cast<std::byte*>(qkv.data_ptr());
    ASSERT_TRUE((*reader)->Load({target}).ok());
    const at::Tensor outside = tensors.at(prefix + "h.1.attn.c_attn.weight");  // [in, 3 out]
    EXPECT_TRUE(at::equal(qkv.view({24, 8}), outside.t()));
  }
}

TEST_F(HfImportTest, ATiedHeadInTheFileIsLeftAndForeignTensorsAreTold) {
  std::map<std::string, at::Tensor> tensors = HubTensors();
  tensors["lm_head.weight"] = at::ones({11, 8});
  tensors["score.weight"] = at::ones({2, 8});
  Write(HubConfig(), tensors);
  ImportOptions options;
  options.input = input_;
  options.output = output_;
  const auto report = ImportCheckpoint(options);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->ToText(), HasSubstr("score.weight"));
  EXPECT_THAT(report->ToText(), Not(HasSubstr("lm_head")));
}

TEST_F(HfImportTest, WhatCannotBeComputedHereIsRefusedByName) {
  using Json = nlohmann::json;
  EXPECT_THAT(RefusedConfig([](Json& c) { c["model_type"] = "llama"; }), HasSubstr("model_type: \"llama\""));
  EXPECT_THAT(RefusedConfig([](Json& c) { c["n_inner"] = 20; }), HasSubstr("4 x n_embd = 32"));
  EXPECT_THAT(RefusedConfig([](Json& c) { c["activation_function"] = "relu"; }), HasSubstr("\"relu\""));
  EXPECT_THAT(RefusedConfig([](Json& c) { c["scale_attn_by_inverse_layer_idx"] = true; }),
              HasSubstr("scale_attn_by_inverse_layer_idx: true"));
  EXPECT_THAT(RefusedConfig([](Json& c) { c["attn_pdrop"] = 0.0; }), HasSubstr("attn_pdrop: 0.0"));
  EXPECT_THAT(RefusedConfig([](Json& c) { c.erase("n_layer"); }), HasSubstr("n_layer is missing"));
  EXPECT_THAT(RefusedConfig([](Json& c) { c["n_head"] = 3; }), HasSubstr("n_head: 3"));
  EXPECT_THAT(RefusedConfig([](Json& c) { c["n_head"] = "2"; }), HasSubstr("n_head: \"2\""));
  EXPECT_THAT(RefusedConfig([](Json& c) { c["n_layer"] = int64_t{1} << 40; }), HasSubstr("n_layer"));
  EXPECT_THAT(RefusedConfig([](Json& c) { c["vocab_size"] = 12; }), HasSubstr("[11, 8]"));
  EXPECT_THAT(RefusedConfig([](Json& c) { c["n_layer"] = 3; }), HasSubstr("lacks transformer.h.2."));
  EXPECT_THAT(RefusedConfig([](Json& c) { c["tie_word_embeddings"] = false; }),
              HasSubstr("lacks lm_head.weight"));
  EXPECT_THAT(RefusedConfig([](Json& c) { c = Json::array(); }), HasSubstr("no JSON object"));
}

TEST_F(HfImportTest, MissingFilesAreNamed) {
  EXPECT_THAT(TryImport(input_ + "/none", "hf").message(), HasSubstr("no such folder"));
  EXPECT_THAT(TryImport(input_, "hf").message(), HasSubstr("config.json"));
  ASSERT_TRUE(WriteJsonFile(input_ + "/config.json", HubConfig()).ok());
  EXPECT_THAT(TryImport(input_, "hf").message(), HasSubstr("neither model.safetensors nor"));
}

TEST_F(HfImportTest, IntegersAreNoParameters) {
  std::map<std::string, at::Tensor> tensors = HubTensors();
  tensors["wpe.weight"] = at::ones({6, 8}, at::kLong);
  Write(HubConfig(), tensors);
  EXPECT_THAT(TryImport(input_, "hf").message(), HasSubstr("wpe.weight is of type I64"));
}

void WriteRaw(const std::string& path, const std::string& header, uint64_t length, size_t data) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << header << std::string(data, 'd');
}

TEST_F(HfImportTest, HeadersThatDoNotAddUp) {
  const std::string path = input_ + "/model.safetensors";
  const auto refused = [&](const std::string& header, uint64_t length, size_t data) {
    WriteRaw(path, header, length, data);
    const absl::StatusOr<ArchiveReader> reader = ArchiveReader::Open(input_);
    EXPECT_EQ(ExitCodeOf(reader.status()), ExitCode::kData) << header;
    return std::string(reader.status().message());
  };
  const auto entry = [&](const std::string& text, size_t data = 8) {
    const std::string header = "{\"x\":" + text + "}";
    return refused(header, header.size(), data);
  };
  const std::string good = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  WriteRaw(path, "{\"x\":" + good + "}", good.size() + 6, 8);
  EXPECT_TRUE(ArchiveReader::Open(input_).ok());
  EXPECT_THAT(entry(good, 7), HasSubstr("lies in bytes 0 to 8 of 7"));
  EXPECT_THAT(entry(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"),
              HasSubstr("8 bytes for 3 elements"));
  EXPECT_THAT(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), HasSubstr("lies in bytes"));
  EXPECT_THAT(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})"), HasSubstr("data_offsets"));
  EXPECT_THAT(entry(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})"),
              HasSubstr("shape"));
  EXPECT_THAT(entry(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,8]})"), HasSubstr("shape"));
  EXPECT_THAT(entry(R"({"shape":[2],"data_offsets":[0,8]})"), HasSubstr("dtype"));
  EXPECT_THAT(entry("7"), HasSubstr("dtype"));
  EXPECT_THAT(refused("[]", 2, 8), HasSubstr("no JSON object"));
  EXPECT_THAT(refused("{{{", 3, 8), HasSubstr("not JSON"));
  EXPECT_THAT(refused("{}", ~uint64_t{0}, 8), HasSubstr("header should have"));
  EXPECT_THAT(refused("", 100, 0), HasSubstr("header should have"));
  const std::string two = "{\"x\":" + good + R"(,"y":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})";
  EXPECT_THAT(refused(two, two.size(), 12), HasSubstr("overlap"));
  std::ofstream(path, std::ios::binary | std::ios::trunc) << "abc";
  EXPECT_THAT(ArchiveReader::Open(input_).status().message(), HasSubstr("it has 3 bytes"));
}

TEST_F(HfImportTest, IndexesThatDoNotAddUp) {
  WriteSafetensors(input_ + "/a.safetensors", {{"x", at::ones({2})}});
  const auto refused = [&](const nlohmann::json& index) {
    EXPECT_TRUE(WriteJsonFile(input_ + "/model.safetensors.index.json", index).ok());
    const absl::StatusOr<ArchiveReader> reader = ArchiveReader::Open(input_);
    EXPECT_EQ(ExitCodeOf(reader.status()), ExitCode::kData);
    return std::string(reader.status().message());
  };
  EXPECT_THAT(refused({{"weight_map", {{"x", "../a.safetensors"}}}}), HasSubstr("no file of this folder"));
  EXPECT_THAT(refused({{"weight_map", {{"x", 3}}}}), HasSubstr("no file of this folder"));
  EXPECT_THAT(refused({{"weight_map", {{"y", "a.safetensors"}}}}), HasSubstr("holds y"));
  EXPECT_THAT(refused({{"map", 1}}), HasSubstr("weight_map"));
  EXPECT_THAT(refused(nlohmann::json::array()), HasSubstr("weight_map"));
  WriteSafetensors(input_ + "/b.safetensors", {{"x", at::ones({2})}});
  EXPECT_THAT(refused({{"weight_map", {{"x", "a.safetensors"}, {"y", "b.safetensors"}}}}),
              HasSubstr("which another file has too"));
}

// Damage of any kind ends in a DataError or in an import that is whole; never otherwise.
TEST_F(HfImportTest, RandomDamageToHeaders) {
  Write(HubConfig(), HubTensors());
  const std::string path = input_ + "/model.safetensors";
  const std::string whole = *ReadFile(path);
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string bytes = whole;
    const size_t header = 2500;
    for (int i = 0; i < 3; ++i) bytes[random() % header] = static_cast<char>(random());
    if (round % 4 == 0) bytes.resize(random() % bytes.size());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    const absl::Status status = TryImport(input_, "hf");
    EXPECT_TRUE(status.ok() || ExitCodeOf(status) == ExitCode::kData) << status;
  }
}

}  // namespace
}  // namespace orthant::testing
