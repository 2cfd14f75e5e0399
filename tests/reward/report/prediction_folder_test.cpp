#include "rahf/reward/report/prediction_folder.h"

#include <nlohmann/json.hpp>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/csv.h"
#include "rahf/core/io/image_file.h"
#include "reward/toy_reward.h"
#include "support/catch.h"
#include "support/full_disk.h"
#include "support/scratch.h"

using rahf::Image;
using rahf::reward::PictureRequest;
using rahf::reward::PredictionFolder;

namespace {

// Judges the pictures with the toy reward and writes everything; the broken ones are skipped.
void predict_into(PredictionFolder& folder, const std::vector<PictureRequest>& requests) {
  ToyReward reward(8);
  const auto skipped = rahf::reward::predict_pictures(
      reward, requests, {.batch = 2},
      [&](const std::vector<rahf::reward::Prediction>& some) { folder.add(some); });
  folder.finish(skipped);
}

}  // namespace

TEST_CASE("PredictionFolder writes maps and heat of the picture's own size, and what is in them",
          "[reward][prediction_folder]") {
  const ScratchFolder scratch;
  Image image(12, 20);
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) image.pixels[i] = 204;
  rahf::io::write_image(scratch / "in/one.png", image);
  rahf::io::write_atomically(scratch / "in/broken.jpg", "no picture");
  const std::vector<PictureRequest> requests = {
      {scratch / "in/broken.jpg", "x"}, {scratch / "in/one.png", "a \"red\" cat, not blue"}};
  PredictionFolder folder(scratch / "out", requests, ToyReward().score_names(), 0.5);
  predict_into(folder, requests);

  for (const char* kind : {"implausibility", "misalignment", "heat"}) {
    const auto written = rahf::io::read_image(scratch / ("out/one." + std::string(kind) + ".png"));
    CHECK(written.height == 12);
    CHECK(written.width == 20);
  }
  CHECK(rahf::io::read_image(scratch / "out/one.implausibility.png").at(5, 5)[1] == 204);
  CHECK(rahf::io::read_image(scratch / "out/one.overlay.png").width == 512);

  const auto json = nlohmann::json::parse(rahf::io::read_file(scratch / "out/predictions.json"));
  REQUIRE(json["predictions"].size() == 1);
  const auto& one = json["predictions"][0];
  CHECK(one["picture"] == requests[1].picture.string());
  CHECK(one["prompt"] == requests[1].prompt);
  CHECK(one["width"] == 20);
  CHECK(one["height"] == 12);
  CHECK(one["scores"]["plausibility"].get<double>() == Approx(0.8));
  CHECK(one["scores"]["overall"].get<double>() == Approx(0.8 / 3));
  CHECK(one["words"].size() == 5);
  CHECK(one["words"][3]["word"] == "not");
  CHECK(one["words"][3]["misaligned"] == 0.75);
  CHECK(one["misaligned_words"] == nlohmann::json{3});
  CHECK(one["implausibility"]["mean"].get<double>() == Approx(0.8));
  CHECK(one["misalignment"]["max"].get<double>() == 0);
  CHECK(one["files"]["overlay"] == "one.overlay.png");
  REQUIRE(json["skipped"].size() == 1);
  CHECK(json["skipped"][0]["picture"] == requests[0].picture.string());

  const auto csv = rahf::io::read_csv(scratch / "out/predictions.csv");
  REQUIRE(csv.rows.size() == 1);
  CHECK(csv.rows[0][csv.column("prompt")] == requests[1].prompt);
  CHECK(std::stod(csv.rows[0][csv.column("plausibility")]) == Approx(0.8));
  CHECK(csv.rows[0][csv.column("misaligned_words")] == "not");
  CHECK(csv.rows[0][csv.column("marked_prompt")] == "a \"red\" cat, ~not~ blue");
}

TEST_CASE("PredictionFolder keeps pictures of the same name apart", "[reward][prediction_folder]") {
  const ScratchFolder scratch;
  const std::vector<PictureRequest> requests = {{scratch / "a/x.png", ""},
                                                {scratch / "b/x.png", ""},
                                                {scratch / "x-2.png", ""},
                                                {scratch / "x.jpg", ""}};
  for (std::size_t i = 0; i < requests.size(); ++i) {
    rahf::io::write_image(requests[i].picture, Image(4, 5 + static_cast<std::int64_t>(i)));
  }
  PredictionFolder folder(scratch / "out", requests, ToyReward().score_names(), 0.5);
  predict_into(folder, requests);
  const auto json = nlohmann::json::parse(folder.json());
  const char* names[] = {"x", "x-2", "x-2-2", "x-3"};
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::string file = names[i] + std::string(".heat.png");
    CHECK(json["predictions"][i]["files"]["heat"] == file);
    CHECK(rahf::io::read_image(scratch / "out" / file).width == 5 + static_cast<std::int64_t>(i));
  }
}

TEST_CASE("PredictionFolder shortens long names, between characters and apart",
          "[reward][prediction_folder]") {
  const ScratchFolder scratch;
  std::string longest(199, 'x');
  longest += "\u00e9";  // 250 bytes and more with its kind
  const std::vector<PictureRequest> requests = {{scratch / (longest + "aaaaaaaaa.png"), ""},
                                                {scratch / (longest + "b.png"), ""}};
  for (const auto& request : requests) rahf::io::write_image(request.picture, Image(4, 4));
  PredictionFolder folder(scratch / "out", requests, ToyReward().score_names(), 0.5);
  predict_into(folder, requests);
  const auto json = nlohmann::json::parse(folder.json());
  REQUIRE(json["predictions"].size() == 2);
  const std::string name(199, 'x');
  CHECK(json["predictions"][0]["files"]["heat"] == name + ".heat.png");
  CHECK(json["predictions"][1]["files"]["heat"] == name + "-2.heat.png");
  CHECK(json["predictions"][1]["picture"] == requests[1].picture.string());
}

TEST_CASE("PredictionFolder skips a picture whose files cannot be written",
          "[reward][prediction_folder]") {
  const ScratchFolder scratch;
  const std::vector<PictureRequest> requests = {{scratch / "a.png", ""}, {scratch / "b.png", ""}};
  Image noise(200, 200);  // whose files are larger than the disk allows
  std::uint32_t state = 1;
  for (auto& value : noise.pixels) value = static_cast<std::uint8_t>((state *= 747796405U) >> 24);
  rahf::io::write_image(requests[0].picture, noise);
  rahf::io::write_image(requests[1].picture, Image(4, 4));
  const auto outcome = on_full_disk(60000, [&] {
    PredictionFolder folder(scratch / "out", requests, ToyReward().score_names(), 0.5);
    predict_into(folder, requests);
    return 7;
  });
  CHECK(outcome == 7);
  const auto json = nlohmann::json::parse(rahf::io::read_file(scratch / "out/predictions.json"));
  REQUIRE(json["predictions"].size() == 1);
  CHECK(json["predictions"][0]["picture"] == requests[1].picture.string());
  REQUIRE(json["skipped"].size() == 1);
  CHECK(json["skipped"][0]["picture"] == requests[0].picture.string());
}

TEST_CASE("PredictionFolder does not write over the pictures",
          "[reward][prediction_folder][errors]") {
  const ScratchFolder scratch;
  REQUIRE_THROWS_MATCHES(
      PredictionFolder(scratch.path(), {{scratch / "x.png", ""}, {scratch / "x.heat.png", ""}}, {},
                       0.5),
      rahf::FileError, Says("x.heat.png: is one of the pictures and would be written over"));
}

TEST_CASE("PredictionFolder refuses a threshold outside [0, 1]",
          "[reward][prediction_folder][errors]") {
  REQUIRE_THROWS_MATCHES(PredictionFolder("out", {}, {}, 1.5), rahf::ConfigError,
                         Says("threshold must be in [0, 1], got 1.5"));
}
