#include "rahf/reward/train/train.h"

#include <limits>

#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/reward/model/registry.h"
#include "reward/dataset_folder.h"
#include "reward/tiny_rahf.h"
#include "support/catch.h"

using namespace rahf;
using namespace rahf::reward;

namespace {

/// A dataset of 24 pictures of 8 x 8, which the loader brings to the model's size.
struct Place {
  ScratchFolder scratch;
  Dataset dataset{{write_counting(scratch / "data.h5", 0, 24)}};

  TrainPlace run(const std::string& name, bool resume = false) const {
    return {.run = scratch / name, .resume = resume, .note = {}};
  }
  std::string model(const std::string& name) const {
    return io::read_file(scratch / name / "model/model.safetensors");
  }
};

TrainOptions small_run() {
  TrainOptions options;
  options.batch_size = 4;
  options.split = "all";
  options.loop.log_every = 2;
  options.loop.save_every = 2;
  options.model = tiny_rahf_options(Variant::kMultiHead);
  options.learning.updates = 6;
  options.learning.loss.word_weight = 1;
  options.learning.loss.caption.weight = 0.5;
  options.learning.optimisation.ema = 0.9;
  options.learning.optimisation.schedule = {
      .learning_rate = 1e-3, .warmup = 2, .decay = train::Decay::kCosine};
  return options;
}

}  // namespace

TEST_CASE("train_rahf leaves a run that can be used and read", "[reward][train]") {
  const Place place;
  train_rahf(small_run(), place.dataset, place.run("run"));
  CHECK(load_reward(place.scratch / "run/model")->input_size() == 16);
  CHECK(io::read_file(place.scratch / "run/run.cfg").find("updates = 6\n") != std::string::npos);
  CHECK(io::read_file(place.scratch / "run/metrics.jsonl").starts_with("{\"update\":2,\"loss\":"));
  CHECK(std::filesystem::exists(place.scratch / "run/checkpoints/00000006.safetensors"));
  CHECK_FALSE(std::filesystem::exists(place.scratch / "run/checkpoints/00000002.safetensors"));
}

TEST_CASE("train_rahf resumed ends as if it had not been stopped", "[reward][train]") {
  const Place place;
  auto options = small_run();
  options.model.variant = GENERATE(Variant::kMultiHead, Variant::kAugmentedPrompt);
  options.learning.loss.tasks_per_picture = 2;
  options.loop.keep = 9;
  train_rahf(options, place.dataset, place.run("unbroken"));
  train_rahf(options, place.dataset, place.run("broken"));
  const auto whole = place.model("unbroken");
  REQUIRE(place.model("broken") == whole);  // two runs with one seed

  // What a kill after the fourth update leaves.
  std::filesystem::remove_all(place.scratch / "broken/model");
  std::filesystem::remove(place.scratch / "broken/checkpoints/00000006.safetensors");
  train_rahf(options, place.dataset, place.run("broken", /*resume=*/true));
  CHECK(place.model("broken") == whole);

  options.seed = 1;
  train_rahf(options, place.dataset, place.run("other"));
  CHECK(place.model("other") != whole);
}

TEST_CASE("train_rahf gives the same whatever computes its micro-batches", "[reward][train]") {
  const Place place;
  auto options = small_run();
  options.micro_batches = 4;
  const auto model_of = [&](std::int64_t parallel, std::int64_t loader_threads) {
    options.parallel = parallel;
    options.loader_threads = loader_threads;
    const auto name = "run" + std::to_string(parallel);
    train_rahf(options, place.dataset, place.run(name));
    return place.model(name);
  };
  const auto one = model_of(1, 1);
  CHECK(model_of(2, 3) == one);
  CHECK(model_of(4, 1) == one);
}

TEST_CASE("train_rahf goes through its stages, and on from within any of them", "[reward][train]") {
  const Place place;
  auto options = small_run();
  options.loop.keep = 99;
  options.loop.save_every = 1;
  options.learning.loss.caption.phrases = {"above", "below"};
  options.stages = {{{{"updates", "2"},
                      {"loss.heatmap_weight", "0"},
                      {"loss.score_weight", "0"},
                      {"loss.sequence_weight", "0"},
                      {"loss.word_weight", "0"},
                      {"ema", "0"}}},
                    {{{"updates", "3"}, {"clip_apart", "heatmap_predictor."}}}};
  train_rahf(options, place.dataset, place.run("whole"));
  const auto whole = place.model("whole");
  CHECK(std::filesystem::exists(place.scratch / "whole/checkpoints/00000005.safetensors"));

  // The heads have no loss in the first stage and learn in the second.
  const auto first =
      io::read_safetensors(place.scratch / "whole/checkpoints/00000001.safetensors").tensors;
  const auto second =
      io::read_safetensors(place.scratch / "whole/checkpoints/00000002.safetensors").tensors;
  const auto third =
      io::read_safetensors(place.scratch / "whole/checkpoints/00000003.safetensors").tensors;
  const std::string head = "optimisation/value/score_predictor.0.convs.0.bias";
  INFO("heads: " << first.count(head));
  REQUIRE(first.contains(head));
  CHECK(torch::equal(first.at(head), second.at(head)));
  CHECK_FALSE(torch::equal(second.at(head), third.at(head)));

  for (int last = 1; last <= 4; ++last) {
    const auto name = "stopped" + std::to_string(last);
    std::filesystem::copy(place.scratch / "whole", place.scratch / name,
                          std::filesystem::copy_options::recursive);
    std::filesystem::remove_all(place.scratch / name / "model");
    for (int later = last + 1; later <= 5; ++later) {
      std::filesystem::remove(place.scratch / name / "checkpoints" /
                              ("0000000" + std::to_string(later) + ".safetensors"));
    }
    train_rahf(options, place.dataset, place.run(name, /*resume=*/true));
    CAPTURE(last);
    CHECK(place.model(name) == whole);
  }
  options.stages[1].texts["ema"] = "0.5";
  REQUIRE_THROWS_MATCHES(train_rahf(options, place.dataset, place.run("whole", true)), ConfigError,
                         Says("has 'stage.2.ema = ', this one 'stage.2.ema = 0.5'"));
  options.stages[1].texts["updates"] = "0";
  REQUIRE_THROWS_MATCHES(options.validate(), ConfigError,
                         Says("stage 2: LearningOptions.updates = 0, must be > 0"));
}

TEST_CASE("train_rahf learns from the pictures that a stage chooses", "[reward][train]") {
  const Place place;
  auto options = small_run();
  options.learning.pictures = PictureChoice::kPhrases;
  options.learning.loss.caption.phrases = {"no such words", "nor these"};
  REQUIRE_THROWS_MATCHES(train_rahf(options, place.dataset, place.run("run")), ConfigError,
                         Says("no picture shows all of a prompt with one of loss.caption.phrases"));
  options.learning.loss.caption.phrases = {};
  REQUIRE_THROWS_MATCHES(options.validate(), ConfigError,
                         Says("pictures = phrases needs loss.caption.phrases"));
}

TEST_CASE("train_rahf refuses to go on with other data", "[reward][train][errors]") {
  const Place place;
  auto options = small_run();
  options.learning.updates = 1;
  train_rahf(options, place.dataset, place.run("first"));
  options.init = place.scratch / "first/model";  // else each dataset has a vocabulary of its own
  train_rahf(options, place.dataset, place.run("run"));
  const Dataset other({write_counting(place.scratch / "other.h5", 0, 23)});
  REQUIRE_THROWS_MATCHES(train_rahf(options, other, place.run("run", true)), ConfigError,
                         Says("this one 'data.hash ="));
  const Dataset shifted({write_counting(place.scratch / "shifted.h5", 1, 24)});
  REQUIRE_THROWS_MATCHES(train_rahf(options, shifted, place.run("run", true)), ConfigError,
                         Says("this one 'data.hash ="));
}

TEST_CASE("train_rahf with checkpointed gradients gives the same weights", "[reward][train]") {
  const Place place;
  auto options = small_run();
  train_rahf(options, place.dataset, place.run("kept"));
  options.gradient_checkpointing = true;
  train_rahf(options, place.dataset, place.run("again"));
  CHECK(place.model("kept") == place.model("again"));
}

TEST_CASE("train_rahf starts from another model's weights and options", "[reward][train]") {
  const Place place;
  train_rahf(small_run(), place.dataset, place.run("first"));
  auto options = small_run();
  options.learning.updates = 1;
  options.learning.optimisation.schedule.warmup = 1000000;  // hardly a step
  options.learning.optimisation.ema = 0;
  options.model = RahfOptions{};
  options.init = place.scratch / "first/model";
  train_rahf(options, place.dataset, place.run("second"));
  const auto a = io::read_safetensors(place.scratch / "first/model/model.safetensors").tensors;
  const auto b = io::read_safetensors(place.scratch / "second/model/model.safetensors").tensors;
  REQUIRE(a.size() == b.size());
  for (const auto& [name, tensor] : a) CHECK(torch::allclose(tensor, b.at(name), 0, 1e-6));
}

TEST_CASE("train_rahf moves T5's queries by query_lr_scale", "[reward][train]") {
  const Place place;
  auto options = small_run();
  options.learning.updates = 2;
  options.learning.optimisation.ema = 0;
  options.learning.optimisation.adamw.weight_decay = 0;
  const auto after = [&](double scale) {
    options.learning.query_lr_scale = scale;
    const auto name = "run" + std::to_string(scale);
    train_rahf(options, place.dataset, place.run(name));
    return io::read_safetensors(place.scratch / name / "model/model.safetensors").tensors;
  };
  const auto still = after(0), slow = after(0.5), full = after(1);
  int queries = 0;
  for (const auto& [name, weight] : still) {
    const bool is_query = name.starts_with("t5.") && name.ends_with(".q.weight");
    queries += is_query;
    INFO(name);
    if (is_query) CHECK_FALSE(torch::equal(weight, slow.at(name)));
    // The first update (from equal gradients) is half as long; the second differs a little.
    if (is_query) {
      const auto way = (full.at(name) - weight).norm(), half = (slow.at(name) - weight).norm();
      CHECK((half / way).item<double>() == Approx(0.5).margin(0.05));
    }
  }
  CHECK(queries == 4);  // two encoder layers, a decoder layer with attention to both
}

TEST_CASE("train_rahf computes in bf16 about what it computes in f32", "[reward][train]") {
  const Place place;
  auto options = small_run();
  options.learning.optimisation.ema = 0;
  train_rahf(options, place.dataset, place.run("f32"));
  options.bf16 = true;
  train_rahf(options, place.dataset, place.run("bf16"));
  CHECK(place.model("f32") != place.model("bf16"));
  const auto a = io::read_safetensors(place.scratch / "f32/model/model.safetensors").tensors;
  const auto b = io::read_safetensors(place.scratch / "bf16/model/model.safetensors").tensors;
  for (const auto& [name, tensor] : a)
    CHECK((tensor - b.at(name)).abs().max().item<float>() < 0.02);
}

TEST_CASE("train_rahf stops at a loss that is not finite, before the weights are lost",
          "[reward][train][errors]") {
  const Place place;
  auto options = small_run();
  options.learning.optimisation.schedule = {
      .learning_rate = 1e30, .warmup = 0, .decay = train::Decay::kConstant};
  options.learning.optimisation.clip_norm = 0;
  options.learning.updates = 50;
  options.loop.save_every = 1;
  REQUIRE_THROWS_MATCHES(train_rahf(options, place.dataset, place.run("run")), NonFiniteError,
                         Says("is not finite: loss"));
  CHECK_FALSE(std::filesystem::exists(place.scratch / "run/model"));
}

TEST_CASE("train_rahf keeps runs apart", "[reward][train][errors]") {
  const Place place;
  auto options = small_run();
  train_rahf(options, place.dataset, place.run("run"));
  REQUIRE_THROWS_MATCHES(train_rahf(options, place.dataset, place.run("run")), ConfigError,
                         Says("holds a run already (--resume goes on with it"));
  options.batch_size = 2;
  REQUIRE_THROWS_MATCHES(
      train_rahf(options, place.dataset, place.run("run", true)), ConfigError,
      Says("the run to be resumed has 'batch_size = 4', this one 'batch_size = 2'"));
}

TEST_CASE("TrainOptions names fields that contradict each other", "[reward][train][errors]") {
  TrainOptions options;
  options.micro_batches = 3;
  REQUIRE_THROWS_MATCHES(options.validate(), ConfigError,
                         Says("batch_size = 256, must be a multiple of micro_batches = 3"));
  options = {};
  options.parallel = 2;
  options.model.t5.dropout = 0.1;
  REQUIRE_THROWS_MATCHES(options.validate(), ConfigError, Says("needs model.vit.dropout"));
}
