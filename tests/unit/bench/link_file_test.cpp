// The formula of a link's times, and the file that holds them.
#include "orthant/bench/link_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "orthant/core/status.h"
#include "unit/data/folder.h"

namespace orthant {
namespace {

using ::testing::HasSubstr;

LinkPoint PointOf(int64_t bytes, double seconds) {
  LinkPoint point;
  point.bytes = bytes;
  point.seconds = seconds;
  point.min_seconds = 0.9 * seconds;
  point.max_seconds = 1.5 * seconds;
  point.samples = 7;
  point.sent_bytes = bytes / 2;
  return point;
}

std::vector<LinkPoint> PointsOf(const std::vector<int64_t>& sizes,
                                const std::function<double(double)>& seconds) {
  std::vector<LinkPoint> points;
  for (const int64_t size : sizes) points.push_back(PointOf(size, seconds(static_cast<double>(size))));
  return points;
}

const std::vector<int64_t> kSizes = {4096, 16384, 65536, 262144, 1 << 20, 4 << 20, 16 << 20, 64 << 20};

TEST(FitPieces, FindsLatencyAndBandwidth) {
  const auto pieces = FitPieces(PointsOf(kSizes, [](double bytes) { return 5e-6 + bytes / 8e9; }));
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_NEAR(pieces[0].latency, 5e-6, 1e-12);
  EXPECT_NEAR(1.0 / pieces[0].seconds_per_byte, 8e9, 1.0);
  EXPECT_EQ(pieces[0].up_to, INT64_MAX);
}

TEST(FitPieces, ChangesTheFormulaWhereTheProtocolDoes) {
  LinkCurve curve;
  curve.points = PointsOf(
      kSizes, [](double bytes) { return bytes <= 65536 ? 2e-6 + bytes / 10e9 : 40e-6 + bytes / 3e9; });
  Fit(&curve);
  ASSERT_EQ(curve.pieces.size(), 2u);
  EXPECT_EQ(curve.pieces[0].up_to, 65536);
  EXPECT_NEAR(curve.pieces[0].latency, 2e-6, 1e-10);
  EXPECT_NEAR(curve.pieces[1].latency, 40e-6, 1e-9);
  EXPECT_NEAR(curve.Seconds(32768), 2e-6 + 32768 / 10e9, 1e-10);
  EXPECT_NEAR(curve.Seconds(int64_t{1} << 30), 40e-6 + 1073741824.0 / 3e9, 1e-6)
      << "the last piece has no end";
  EXPECT_LT(curve.worst_error, 1e-6);
}

TEST(FitPieces, NeitherLatencyNorSlopeIsNegative) {
  // Quicker than in proportion to bytes: latency would be below 0; falling: the slope would.
  for (const auto& points : {PointsOf({1000, 2000}, [](double bytes) { return bytes * bytes; }),
                             PointsOf({1000, 2000}, [](double bytes) { return 1.0 / bytes; })}) {
    const auto pieces = FitPieces(points);
    ASSERT_EQ(pieces.size(), 1u);
    EXPECT_GE(pieces[0].latency, 0);
    EXPECT_GE(pieces[0].seconds_per_byte, 0);
    EXPECT_GT(pieces[0].latency + 1500 * pieces[0].seconds_per_byte, 0);
  }
}

TEST(FitPieces, OnePointIsLatency) {
  const auto pieces = FitPieces({PointOf(0, 3e-6)});
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_DOUBLE_EQ(pieces[0].latency, 3e-6);
  EXPECT_EQ(pieces[0].seconds_per_byte, 0);
  EXPECT_TRUE(FitPieces({}).empty());
}

TEST(FitPieces, WorstErrorIsTold) {
  LinkCurve curve;
  curve.points = PointsOf({1000, 2000, 4000}, [](double bytes) { return bytes == 2000 ? 3e-6 : 1e-6; });
  Fit(&curve);
  EXPECT_GT(curve.worst_error, 0.3);
  double worst = 0;
  for (const LinkPoint& p : curve.points)
    worst = std::max(worst, std::abs(curve.Seconds(p.bytes) / p.seconds - 1));
  EXPECT_DOUBLE_EQ(curve.worst_error, worst);
}

LinkFile Sample() {
  LinkFile file;
  file.date = "2026-11-26T18:40:00Z";
  file.host = "node7";
  file.processor = "a processor";
  file.cores = 64;
  file.backend = "mpi";
  file.ranks_per_host = 4;
  file.mesh = {.data = 2, .tensor = 4};
  file.dtype = "fp32";
  LinkAxis axis{"tensor", 4, 2, 1, {}};
  LinkCurve curve;
  curve.op = BenchOp::kAllReduce;
  curve.points = PointsOf(kSizes, [](double bytes) { return bytes <= 65536 ? 2e-6 : 40e-6 + bytes / 3e9; });
  Fit(&curve);
  axis.curves.push_back(curve);
  LinkCurve barrier;
  barrier.op = BenchOp::kBarrier;
  barrier.points = {PointOf(0, 1.0 / 3.0 * 1e-6)};
  Fit(&barrier);
  axis.curves.push_back(barrier);
  file.axes.push_back(axis);
  return file;
}

TEST(LinkFile, ReadsBackToTheBit) {
  const testing::Folder folder;
  const std::string path = folder / "links.json";
  const LinkFile file = Sample();
  ASSERT_TRUE(WriteLinkFile(path, file).ok());
  const auto read = ReadLinkFile(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ToJson(*read).dump(), ToJson(file).dump());
  EXPECT_EQ(read->mesh, file.mesh);
  EXPECT_EQ(read->axes[0].curves[1].points[0].seconds, file.axes[0].curves[1].points[0].seconds);
  ASSERT_NE(read->Find("tensor"), nullptr);
  EXPECT_EQ(read->Find("data"), nullptr);
}

TEST(LinkFile, HoldsBandwidths) {
  const auto json = ToJson(Sample());
  const auto& operation = json["axes"][0]["operations"][0];
  const auto& point = operation["points"].back();
  const double seconds = point["seconds"];
  EXPECT_EQ(operation["bus_factor"], 1.5);
  EXPECT_DOUBLE_EQ(point["algorithm_bandwidth"].get<double>(), 67108864.0 / seconds);
  EXPECT_DOUBLE_EQ(point["bus_bandwidth"].get<double>(), 1.5 * 67108864.0 / seconds);
  EXPECT_FALSE(json["axes"][0]["operations"][1]["points"][0].contains("bus_bandwidth"))
      << "a barrier moves nothing";
}

// A change to the file, and what must be said of it.
struct Damage {
  const char* pointer;
  nlohmann::json value;
  const char* message;
};

TEST(LinkFile, NamesThePlaceOfWhatIsWrong) {
  const std::string point = "/axes/0/operations/0/points/1";
  const Damage damages[] = {
      {"/format", "csv", "format must be \"orthant-links\""},
      {"/version", 2, "version is 2, and this program reads 1"},
      {"/machine/cores", 0, "machine.cores is 0, but must be a whole number from 1 up"},
      {"/mesh/tensor", 1.5, "mesh.tensor is 1.5, but must be a whole number from 1 up"},
      {"/mesh/tensor", int64_t{1} << 40, "mesh.tensor is more ranks than any world has"},
      {"/asynchronous", "no", "asynchronous is neither true nor false"},
      {"/dtype", 32, "dtype is no text"},
      {"/axes", nlohmann::json::array(), "axes is no list, or an empty one"},
      {"/axes/0/operations/0/op", "all_produce",
       "axes[0].operations[0].op is 'all_produce', which is no operation"},
      {"/axes/0/operations/0/points/1/bytes", 4096,
       "axes[0].operations[0].points[1].bytes is 4096, but must be above that of the point before, 4096"},
      {"/axes/0/operations/0/points/1/seconds", -1, "points[1].seconds is -1, but must be a number above 0"},
      {"/axes/0/operations/0/points/1/seconds", nullptr, "points[1].seconds is null"},
      {"/axes/0/operations/0/points/1/min_seconds", 1.0,
       "points[1] has a median outside of its least and most"},
      {"/axes/0/operations/0/points/1", 7, "points[1] is no object"},
      {"/axes/0/operations/0/fit/pieces/0/up_to_bytes", nullptr,
       "fit.pieces[0].up_to_bytes must be null in the last piece, and only there"},
      {"/axes/0/operations/1/fit/pieces/0/up_to_bytes", 5, "must be null in the last piece"},
      {"/axes/0/operations/0/fit/pieces/0/latency_seconds", -1e-6, "latency_seconds is -1e-06"},
  };
  for (const Damage& damage : damages) {
    nlohmann::json json = ToJson(Sample());
    json[nlohmann::json::json_pointer(damage.pointer)] = damage.value;
    const absl::Status status = LinkFileFromJson(json, "links.json").status();
    EXPECT_EQ(ExitCodeOf(status), ExitCode::kData) << damage.pointer;
    EXPECT_THAT(std::string(status.message()), HasSubstr("links.json: ")) << damage.pointer;
    EXPECT_THAT(std::string(status.message()), HasSubstr(damage.message)) << damage.pointer;
  }
}

TEST(LinkFile, EveryKeyOfAPointIsNeeded) {
  for (const char* key :
       {"bytes", "seconds", "min_seconds", "max_seconds", "samples", "calls", "sent_bytes"}) {
    nlohmann::json json = ToJson(Sample());
    json["axes"][0]["operations"][0]["points"][0].erase(key);
    EXPECT_THAT(std::string(LinkFileFromJson(json, "f").status().message()),
                HasSubstr(std::string("points[0].") + key + " is missing"));
  }
  nlohmann::json json = ToJson(Sample());
  json["later"] = 1;  // of a program to come
  EXPECT_TRUE(LinkFileFromJson(json, "f").ok());
  EXPECT_FALSE(LinkFileFromJson(nlohmann::json::array(), "f").ok());
}

TEST(LinkFile, MissingAndDamagedFiles) {
  const testing::Folder folder;
  EXPECT_EQ(ExitCodeOf(ReadLinkFile(folder / "none.json").status()), ExitCode::kData);
  std::ofstream(folder / "half.json") << "{\"format\": \"orthant-li";
  EXPECT_EQ(ExitCodeOf(ReadLinkFile(folder / "half.json").status()), ExitCode::kData);
  EXPECT_EQ(ExitCodeOf(WriteLinkFile(folder / "no/such/links.json", Sample())), ExitCode::kEnvironment);
}

}  // namespace
}  // namespace orthant
