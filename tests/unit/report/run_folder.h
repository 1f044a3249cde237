// A run's folder made by hand, in a temporary place, for tests of the report.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace orthant::testing {

class RunFolderFixture : public ::testing::Test {
 protected:
  RunFolderFixture() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ = (std::filesystem::temp_directory_path() /
             (std::string("orthant-report-") + test->test_suite_name() + "-" + test->name()))
                .string();
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  ~RunFolderFixture() override { std::filesystem::remove_all(root_); }

  // -> the file's path, below the test's folder.
  std::string Write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = std::filesystem::path(root_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }

  static std::string Line(int step, double loss, const std::string& more = "") {
    return "{\"step\":" + std::to_string(step) + ",\"loss\":" + std::to_string(loss) +
           ",\"grad_norm\":0.5,\"lr\":0.001,\"tokens\":" + std::to_string(step * 100) +
           ",\"dt\":0.1,\"dtf\":0.04,\"dtb\":0.05,\"tps\":1000,\"mfu\":0.25,\"mem_peak_bytes\":1048576,"
           "\"comm_bytes\":{\"data\":10,\"tensor\":20,\"pipeline\":30,\"sequence\":0}" +
           more + "}\n";
  }

  // Two stages on two hosts, three steps, one of them evaluated.
  std::string WholeRun(const std::string& name) {
    Write(name + "/config.yaml", "run:\n  name: " + name +
                                     "                                # run.yaml:1\n"
                                     "model:\n  hidden: 16                                # run.yaml:2\n"
                                     "parallel:\n  data: 1                                   # default\n"
                                     "  tensor: 2                                 # command line\n"
                                     "  pipeline: 2                               # run.yaml:3\n"
                                     "  sequence: 1                               # default\n"
                                     "  order: [pipeline, data, sequence, tensor]   # default\n"
                                     "  schedule: 1f1b                            # default\n"
                                     "train:\n  global_batch: 8                           # run.yaml:4\n"
                                     "  micro_batch: 2                            # default\n");
    Write(name + "/metrics.jsonl",
          Line(1, 4.5) + Line(2, 3.5, ",\"val_loss\":3.25,\"train_loss\":3.125") + Line(3, 3.0));
    Write(name + "/samples.txt", "--- step 2\nprompt: the\nresponse:\nthe <king>\nsaid\n");
    Write(
        name + "/starts.json",
        R"({"format":1,"starts":[{"time":"2026-01-02T03:04:05Z","host":"n1","pid":1,"backend":"mpi","device":"cpu",
             "ranks_per_host":2,"hosts":["n1","n1","n2","n2"],"parallel":{"data":1,"tensor":2,"pipeline":2,"sequence":1,
             "order":["pipeline","data","sequence","tensor"]},"microbatches":4,"peak_flops":1e11,"peak_source":"from <log>","notes":["a & b"],"parameters":1234,"after_step":0,"from":"",
             "memory":[{"device_bytes":300,"host_bytes":0,"at_peak":{"parameters":100,"activations":200,"host":0}},
             {"device_bytes":500,"host_bytes":0,"at_peak":{"parameters":100,"activations":400,"host":0}},
             {"device_bytes":100,"host_bytes":0,"at_peak":{"parameters":100,"activations":0,"host":0}},
             {"device_bytes":100,"host_bytes":0,"at_peak":{"parameters":100,"activations":0,"host":0}}],
             "end":{"time":"2026-01-02T03:05:05Z","step":3,"outcome":"done","exit_code":0,"message":""}}]})");
    return root_ + "/" + name;
  }

  std::string root_;
};

}  // namespace orthant::testing
