#include "orthant/bench/link_file.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orthant/core/file.h"
#include "orthant/core/json.h"
#include "orthant/core/status.h"

namespace orthant {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char* kFormat = "orthant-links";

Json CurveJson(const LinkCurve& curve, int64_t ranks) {
  const double factor = BusFactor(curve.op, ranks);
  Json points = Json::array();
  for (const LinkPoint& p : curve.points) {
    Json point = {{"bytes", p.bytes},
                  {"seconds", p.seconds},
                  {"min_seconds", p.min_seconds},
                  {"max_seconds", p.max_seconds},
                  {"samples", p.samples},
                  {"calls", p.calls},
                  {"sent_bytes", p.sent_bytes}};
    if (p.bytes > 0) {
      point["algorithm_bandwidth"] = p.AlgorithmBandwidth();
      point["bus_bandwidth"] = factor * p.AlgorithmBandwidth();
    }
    points.push_back(std::move(point));
  }
  Json pieces = Json::array();
  for (const LinkPiece& piece : curve.pieces) {
    const bool open = piece.up_to == LinkPiece().up_to;
    pieces.push_back({{"up_to_bytes", open ? Json(nullptr) : Json(piece.up_to)},
                      {"latency_seconds", piece.latency},
                      {"seconds_per_byte", piece.seconds_per_byte}});
  }
  return {{"op", BenchOpName(curve.op)},
          {"bus_factor", factor},
          {"points", std::move(points)},
          {"fit", {{"worst_error", curve.worst_error}, {"pieces", std::move(pieces)}}}};
}

// Reads one JSON value after another and keeps the first problem, with its place.
class Reader {
 public:
  explicit Reader(std::string origin) : origin_(std::move(origin)) {}

  const absl::Status& status() const { return status_; }
  void Refuse(const std::string& place, const std::string& problem) {
    if (status_.ok()) status_ = DataError(absl::StrCat(origin_, ": ", place, " ", problem));
  }

  // The member `key` of `at`, whose place is `place`; null when it is missing.
  const nlohmann::json& Member(const nlohmann::json& at, const std::string& place, const char* key) {
    static const nlohmann::json none;
    if (!at.is_object()) {
      Refuse(place.empty() ? "the file" : place, "is no object");
      return none;
    }
    const auto found = at.find(key);
    if (found != at.end()) return *found;
    Refuse(Place(place, key), "is missing");
    return none;
  }
  std::string Text(const nlohmann::json& at, const std::string& place, const char* key) {
    const nlohmann::json& value = Member(at, place, key);
    if (value.is_string()) return value.get<std::string>();
    Refuse(Place(place, key), "is no text");
    return "";
  }
  bool Flag(const nlohmann::json& at, const std::string& place, const char* key) {
    const nlohmann::json& value = Member(at, place, key);
    if (value.is_boolean()) return value.get<bool>();
    Refuse(Place(place, key), "is neither true nor false");
    return false;
  }
  int64_t Whole(const nlohmann::json& at, const std::string& place, const char* key, int64_t least) {
    const nlohmann::json& value = Member(at, place, key);
    if (value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX)) {
      const auto number = value.get<int64_t>();
      if (number >= least) return number;
    }
    Refuse(Place(place, key),
           absl::StrCat("is ", value.dump(), ", but must be a whole number from ", least, " up"));
    return least;
  }
  double Real(const nlohmann::json& at, const std::string& place, const char* key, bool positive) {
    const nlohmann::json& value = Member(at, place, key);
    if (value.is_number()) {
      const auto number = value.get<double>();
      if (std::isfinite(number) && (positive ? number > 0 : number >= 0)) return number;
    }
    Refuse(Place(place, key),
           absl::StrCat("is ", value.dump(), ", but must be a number ", positive ? "above 0" : "from 0 up"));
    return 0;
  }
  const nlohmann::json& List(const nlohmann::json& at, const std::string& place, const char* key) {
    static const nlohmann::json none = nlohmann::json::array();
    const nlohmann::json& value = Member(at, place, key);
    if (value.is_array() && !value.empty()) return value;
    Refuse(Place(place, key), "is no list, or an empty one");
    return none;
  }

  static std::string Place(const std::string& place, const char* key) {
    return place.empty() ? key : absl::StrCat(place, ".", key);
  }

 private:
  std::string origin_;
  absl::Status status_;
};

LinkPoint PointFrom(Reader& reader, const nlohmann::json& json, const std::string& place) {
  LinkPoint p;
  p.bytes = reader.Whole(json, place, "bytes", 0);
  p.seconds = reader.Real(json, place, "seconds", true);
  p.min_seconds = reader.Real(json, place, "min_seconds", true);
  p.max_seconds = reader.Real(json, place, "max_seconds", true);
  p.samples = reader.Whole(json, place, "samples", 1);
  p.calls = reader.Whole(json, place, "calls", 1);
  p.sent_bytes = reader.Whole(json, place, "sent_bytes", 0);
  if (p.min_seconds > p.seconds || p.seconds > p.max_seconds) {
    reader.Refuse(place, "has a median outside of its least and most");
  }
  return p;
}

void ReadPieces(Reader& reader, const nlohmann::json& fit, const std::string& place, LinkCurve* curve) {
  curve->worst_error = reader.Real(fit, place, "worst_error", false);
  const nlohmann::json& pieces = reader.List(fit, place, "pieces");
  for (size_t i = 0; i < pieces.size(); ++i) {
    const std::string at = absl::StrCat(place, ".pieces[", i, "]");
    LinkPiece piece;
    const nlohmann::json& end = reader.Member(pieces[i], at, "up_to_bytes");
    const bool last = i + 1 == pieces.size();
    if (end.is_null() != last)
      reader.Refuse(at + ".up_to_bytes", "must be null in the last piece, and only there");
    if (!last && !end.is_null()) piece.up_to = reader.Whole(pieces[i], at, "up_to_bytes", 0);
    piece.latency = reader.Real(pieces[i], at, "latency_seconds", false);
    piece.seconds_per_byte = reader.Real(pieces[i], at, "seconds_per_byte", false);
    if (!curve->pieces.empty() && piece.up_to <= curve->pieces.back().up_to) {
      reader.Refuse(at + ".up_to_bytes", "must be above that of the piece before");
    }
    curve->pieces.push_back(piece);
  }
}

LinkCurve CurveFrom(Reader& reader, const nlohmann::json& json, const std::string& place) {
  LinkCurve curve;
  const std::string op = reader.Text(json, place, "op");
  if (const std::optional<BenchOp> known = BenchOpNamed(op)) {
    curve.op = *known;
  } else {
    reader.Refuse(place + ".op", absl::StrCat("is '", op, "', which is no operation"));
  }
  const nlohmann::json& points = reader.List(json, place, "points");
  for (size_t i = 0; i < points.size(); ++i) {
    const std::string at = absl::StrCat(place, ".points[", i, "]");
    const LinkPoint point = PointFrom(reader, points[i], at);
    if (!curve.points.empty() && point.bytes <= curve.points.back().bytes) {
      reader.Refuse(at + ".bytes",
                    absl::StrCat("is ", point.bytes, ", but must be above that of the point before, ",
                                 curve.points.back().bytes));
    }
    curve.points.push_back(point);
  }
  ReadPieces(reader, reader.Member(json, place, "fit"), place + ".fit", &curve);
  return curve;
}

LinkAxis AxisFrom(Reader& reader, const nlohmann::json& json, const std::string& place) {
  LinkAxis axis;
  axis.axis = reader.Text(json, place, "axis");
  axis.ranks = reader.Whole(json, place, "ranks", 1);
  axis.groups = reader.Whole(json, place, "groups", 1);
  axis.hosts = reader.Whole(json, place, "hosts", 1);
  const nlohmann::json& curves = reader.List(json, place, "operations");
  for (size_t i = 0; i < curves.size(); ++i) {
    axis.curves.push_back(CurveFrom(reader, curves[i], absl::StrCat(place, ".operations[", i, "]")));
  }
  return axis;
}

int DegreeFrom(Reader& reader, const nlohmann::json& mesh, const char* axis) {
  const int64_t degree = reader.Whole(mesh, "mesh", axis, 1);
  if (degree > INT32_MAX) reader.Refuse(absl::StrCat("mesh.", axis), "is more ranks than any world has");
  return static_cast<int>(std::min<int64_t>(degree, INT32_MAX));
}

}  // namespace

Json ToJson(const LinkFile& file) {
  Json json = {{"format", kFormat},
               {"version", kLinkFileVersion},
               {"date", file.date},
               {"machine", {{"host", file.host}, {"processor", file.processor}, {"cores", file.cores}}},
               {"backend", file.backend},
               {"ranks", file.mesh.world()},
               {"ranks_per_host", file.ranks_per_host}};
  for (const Axis axis : kAxes) json["mesh"][std::string(AxisName(axis))] = file.mesh[axis];
  json["dtype"] = file.dtype;
  json["asynchronous"] = file.asynchronous;
  json["axes"] = Json::array();
  for (const LinkAxis& axis : file.axes) {
    Json curves = Json::array();
    for (const LinkCurve& curve : axis.curves) curves.push_back(CurveJson(curve, axis.ranks));
    json["axes"].push_back({{"axis", axis.axis},
                            {"ranks", axis.ranks},
                            {"groups", axis.groups},
                            {"hosts", axis.hosts},
                            {"operations", std::move(curves)}});
  }
  return json;
}

absl::StatusOr<LinkFile> LinkFileFromJson(const nlohmann::json& json, const std::string& origin) {
  Reader reader(origin);
  if (reader.Text(json, "", "format") != kFormat) {
    reader.Refuse("format", absl::StrCat("must be \"", kFormat,
                                         "\": the file that `orthant bench comm --output` writes"));
  }
  if (!reader.status().ok()) return reader.status();
  const int64_t version = reader.Whole(json, "", "version", 1);
  if (version != kLinkFileVersion) {
    reader.Refuse("version", absl::StrCat("is ", version, ", and this program reads ", kLinkFileVersion,
                                          "; measure again with `orthant bench comm --output`"));
  }
  if (!reader.status().ok()) return reader.status();
  LinkFile file;
  file.date = reader.Text(json, "", "date");
  const nlohmann::json& machine = reader.Member(json, "", "machine");
  file.host = reader.Text(machine, "machine", "host");
  file.processor = reader.Text(machine, "machine", "processor");
  file.cores = reader.Whole(machine, "machine", "cores", 1);
  file.backend = reader.Text(json, "", "backend");
  file.ranks_per_host = reader.Whole(json, "", "ranks_per_host", 1);
  const nlohmann::json& mesh = reader.Member(json, "", "mesh");
  file.mesh = {.data = DegreeFrom(reader, mesh, "data"),
               .tensor = DegreeFrom(reader, mesh, "tensor"),
               .pipeline = DegreeFrom(reader, mesh, "pipeline"),
               .sequence = DegreeFrom(reader, mesh, "sequence")};
  file.dtype = reader.Text(json, "", "dtype");
  file.asynchronous = reader.Flag(json, "", "asynchronous");
  const nlohmann::json& axes = reader.List(json, "", "axes");
  for (size_t i = 0; i < axes.size(); ++i) {
    file.axes.push_back(AxisFrom(reader, axes[i], absl::StrCat("axes[", i, "]")));
  }
  if (!reader.status().ok()) return reader.status();
  return file;
}

absl::StatusOr<LinkFile> ReadLinkFile(const std::string& path) {
  const absl::StatusOr<nlohmann::json> json = ReadJsonFile(path);
  if (!json.ok()) return json.status();
  return LinkFileFromJson(*json, path);
}

absl::Status WriteLinkFile(const std::string& path, const LinkFile& file) {
  return WriteFileAtomically(path, ToJson(file).dump(2) + "\n");  // keeps the order of the keys
}

}  // namespace orthant
