#include "orthant/checkpoint/hf_gpt2.h"

#include <set>

#include "checkpoint/archive_reader.h"
#include "gmock/gmock.h"
#include "orthant/checkpoint/difference.h"
#include "orthant/checkpoint/safetensors_export.h"
#include "orthant/checkpoint/safetensors_import.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"
#include "unit/checkpoint/outside_files.h"

namespace orthant::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

ModelConfig Model(bool bias, bool tied) {
  ModelConfig model = TinyModel();
  model.bias = bias;
  model.tie_embeddings = tied;
  model.activation = tied ? "gelu_tanh" : "gelu";
  return model;
}

ExportReport Export(const std::string& from, const std::string& to, ExportOptions options = {}) {
  std::filesystem::remove_all(to);
  options.output = to;
  options.window_bytes = 100;  // some rows: transposed in pieces
  const absl::StatusOr<ExportReport> report = ExportCheckpoint(from, options);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *report : ExportReport{};
}

ImportReport Import(const std::string& from, const std::string& to, const std::string& format = "hf") {
  std::filesystem::remove_all(to);
  ImportOptions options;
  options.input = from;
  options.format = format;
  options.output = to;
  options.window_bytes = 120;
  const absl::StatusOr<ImportReport> report = ImportCheckpoint(options);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *report : ImportReport{};
}

void ExpectIdentical(const std::string& a, const std::string& b) {
  const auto d = DiffCheckpoints(a, b, {});
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_TRUE(d->identical()) << d->ToText(0);
}

class HfGpt2Test : public ::testing::Test {
 protected:
  const std::string from_ = TempFolder("hf_from"), out_ = TempFolder("hf_out"), back_ = TempFolder("hf_back");
};

TEST_F(HfGpt2Test, ThereAndBackIsTheSameToTheBit) {
  int seed = 0;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
    for (const bool bias : {true, false}) {
      const ModelConfig model = Model(bias, bias);
      std::filesystem::remove_all(from_);
      WriteCheckpoint(from_, 7, DrawParameters(model, dtype, ++seed), {1, 2, 2, 2},
                      RunOf(model, "parameters"));
      const ExportReport exported = Export(from_, out_);
      EXPECT_EQ(exported.tensors, 2 + 3 * 12 + 2 + (bias ? 0 : 1));
      const ImportReport imported = Import(out_, back_);
      EXPECT_EQ(imported.dtype, exported.dtype);
      ExpectIdentical(from_, back_);
      const auto manifest = ReadCheckpointManifest(back_);
      ASSERT_TRUE(manifest.ok()) << manifest.status();
      EXPECT_EQ(manifest->step, 0);
      EXPECT_EQ(manifest->run["model"], ModelToJson(model));
      EXPECT_EQ(manifest->run["content"], "parameters");
      for (const auto& [key, tensor] : manifest->tensors) EXPECT_EQ(Incomplete(key.first, tensor), "");
    }
  }
}

// What Hugging Face's Conv1D computes, x W + b with W [in, out], must be what a linear layer here does.
TEST_F(HfGpt2Test, LinearLayersAreTransposedAndQkvSideBySide) {
  const ModelConfig model = Model(true, true);
  const std::vector<Values> items = DrawParameters(model, at::kFloat, 5);
  WriteCheckpoint(from_, 7, items, {0, 2, 1, 1}, RunOf(model, "parameters"));
  Export(from_, out_);
  const auto archive = ArchiveReader::Open(out_);
  ASSERT_TRUE(archive.ok()) << archive.status();
  const int64_t h = model.hidden;
  for (const Values& item : items) {
    const bool linear = item.name.find("c_") != std::string::npos && item.name.ends_with("weight");
    const at::Tensor outside = TensorIn(*archive, "transformer." + item.name);
    if (item.name == "h.1.attn.c_attn.weight") {
      for (int64_t part = 0; part < 3; ++part) {
        EXPECT_TRUE(at::equal(outside.narrow(1, part * h, h), item.values[part].t())) << part;
      }
    } else if (linear) {
      EXPECT_TRUE(at::equal(outside, item.values.view({-1, item.values.size(-1)}).t())) << item.name;
    } else {
      EXPECT_TRUE(at::equal(outside.flatten(), item.values.flatten())) << item.name;
    }
  }
  EXPECT_EQ(archive->entries().count("lm_head.weight"), 0u);
}

TEST_F(HfGpt2Test, ConfigSaysWhatGpt2ConfigReads) {
  const ModelConfig model = Model(false, false);
  WriteCheckpoint(from_, 7, DrawParameters(model, at::kFloat, 5), {}, RunOf(model, "parameters"));
  const ExportReport report = Export(from_, out_);
  EXPECT_THAT(report.notes, Contains(HasSubstr("biases are zeros")));
  const auto config = ReadJsonFile(out_ + "/config.json");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ((*config)["model_type"], "gpt2");
  EXPECT_EQ((*config)["n_layer"], 3);
  EXPECT_EQ((*config)["n_positions"], 6);
  EXPECT_EQ((*config)["activation_function"], "gelu");
  EXPECT_EQ((*config)["layer_norm_epsilon"], 1e-6);
  EXPECT_EQ((*config)["attn_pdrop"], 0.25);
  EXPECT_EQ((*config)["tie_word_embeddings"], false);
  EXPECT_EQ((*config)["torch_dtype"], "float32");
  EXPECT_TRUE((*config)["eos_token_id"].is_null());
  const auto read = ModelOfHfConfig(*config, "config.json");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->bias);
  EXPECT_EQ(read->activation, "gelu");
  // A bias that somebody has trained since stays.
  const auto archive = ArchiveReader::Open(out_);
  ASSERT_TRUE(archive.ok());
  const ArchiveReader::Entry entry = archive->entries().at("transformer.h.1.ln_2.bias");
  FlipBit(archive->FileOf(entry), entry.offset + entry.bytes - 2, 6);
  EXPECT_EQ(Import(out_, back_).tensors, 2 + 3 * 12 + 3);
}

TEST_F(HfGpt2Test, MastersAreExportedAndComeBackWithTheirRoundedValues) {
  const ModelConfig model = Model(true, true);
  std::vector<Values> items = DrawParameters(model, at::kFloat, 9);
  const size_t count = items.size();
  for (size_t i = 0; i < count; ++i) {
    items.push_back({items[i].name, StateKind::kMaster, items[i].values});
    items[i].values = items[i].values.to(at::kBFloat16);
  }
  WriteCheckpoint(from_, 7, items, {0, 2, 1, 1}, RunOf(model, "parameters"));
  EXPECT_EQ(Export(from_, out_).dtype, "fp32");
  Import(out_, back_);
  ExpectIdentical(from_, back_);
  ExportOptions narrow;
  narrow.dtype = "bf16";
  EXPECT_EQ(Export(from_, out_, narrow).dtype, "bf16");
  Import(out_, back_);
  DiffOptions values;
  values.kinds = {StateKind::kParameter};
  const auto d = DiffCheckpoints(from_, back_, values);
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_TRUE(d->identical()) << d->ToText(0);
  narrow.dtype = "int4";
  narrow.output = out_ + "_other";
  EXPECT_EQ(ExitCodeOf(ExportCheckpoint(from_, narrow).status()), ExitCode::kConfiguration);
}

TEST_F(HfGpt2Test, LargeModelsAreSeveralFilesWithAnIndex) {
  const ModelConfig model = Model(true, false);
  WriteCheckpoint(from_, 7, DrawParameters(model, at::kFloat, 5), {0, 3, 1, 1}, RunOf(model, "parameters"));
  ExportOptions options;
  options.shard_bytes = 2000;
  const ExportReport report = Export(from_, out_, options);
  EXPECT_GT(report.files.size(), 4u);
  EXPECT_THAT(report.files, Contains("model.safetensors.index.json"));
  EXPECT_THAT(report.files, Contains(HasSubstr("model-00002-of-")));
  const auto index = ReadJsonFile(out_ + "/model.safetensors.index.json");
  ASSERT_TRUE(index.ok());
  EXPECT_EQ((*index)["metadata"]["total_size"], report.bytes);
  Import(out_, back_);
  ExpectIdentical(from_, back_);
  std::filesystem::remove(out_ + "/" + report.files[1]);
  EXPECT_THAT(TryImport(out_, "hf").message(), HasSubstr(report.files[1] + ": is missing"));
}

TEST_F(HfGpt2Test, OwnNamesNeedNoModel) {
  const ModelConfig model = Model(false, true);
  std::vector<Values> items = DrawParameters(model, at::kFloat, 5);
  WriteCheckpoint(from_, 7, items, {0, 3, 1, 1}, {{"content", "parameters"}});
  ExportOptions options;
  options.format = "safetensors";
  EXPECT_EQ(Export(from_, out_, options).tensors, static_cast<int64_t>(items.size()));
  Import(out_, back_, "safetensors");
  ExpectIdentical(from_, back_);
  options.format = "hf";
  options.output = out_ + "_other";
  const auto refused = ExportCheckpoint(from_, options);
  EXPECT_EQ(ExitCodeOf(refused.status()), ExitCode::kData);
  EXPECT_THAT(refused.status().message(), HasSubstr("run.model"));
}

TEST_F(HfGpt2Test, NothingIsLeftOfAnExportThatFails) {
  const ModelConfig model = Model(true, true);
  WriteCheckpoint(from_, 7, DrawParameters(model, at::kFloat, 5), {}, RunOf(model, "parameters"));
  const std::string parent = TempFolder("hf_parent");
  std::filesystem::create_directories(parent);
  FlipBit(from_ + "/shard_0.bin", 5000);
  ExportOptions options;
  options.output = parent + "/out";
  EXPECT_EQ(ExitCodeOf(ExportCheckpoint(from_, options).status()), ExitCode::kData);
  EXPECT_TRUE(std::filesystem::is_empty(parent));
  std::filesystem::create_directories(options.output);
  FlipBit(from_ + "/shard_0.bin", 5000);
  EXPECT_TRUE(ExportCheckpoint(from_, options).ok());  // an empty folder is filled
  const auto again = ExportCheckpoint(from_, options);
  EXPECT_EQ(ExitCodeOf(again.status()), ExitCode::kConfiguration);
  EXPECT_THAT(again.status().message(), HasSubstr("not empty"));
}

TEST_F(HfGpt2Test, ACheckpointThatIsNotItsModelIsRefused) {
  const ModelConfig model = Model(true, true);
  ModelConfig other = model;
  other.layers = 2;
  WriteCheckpoint(from_, 7, DrawParameters(model, at::kFloat, 5), {}, RunOf(other, "parameters"));
  ExportOptions options;
  options.output = out_;
  EXPECT_THAT(ExportCheckpoint(from_, options).status().message(), HasSubstr("holds h.2."));
  other.layers = 4;
  WriteCheckpoint(from_, 7, DrawParameters(model, at::kFloat, 5), {}, RunOf(other, "parameters"));
  EXPECT_THAT(ExportCheckpoint(from_, options).status().message(), HasSubstr("has no parameter h.3."));
  other = model;
  other.vocab = 12;
  WriteCheckpoint(from_, 7, DrawParameters(model, at::kFloat, 5), {}, RunOf(other, "parameters"));
  EXPECT_THAT(ExportCheckpoint(from_, options).status().message(),
              HasSubstr("wte.weight is [11, 8], not [12, 8]"));
}

}  // namespace
}  // namespace orthant::testing
