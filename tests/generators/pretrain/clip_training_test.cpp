#include "rahf/generators/pretrain/clip_training.h"

#include <cmath>

#include "rahf/core/error.h"
#include "rahf/core/nn/clip_folder.h"
#include "rahf/core/nn/weights.h"
#include "rahf/core/text/clip_tokenizer.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace rahf;
using generators::ClipTraining;
using generators::contrast_loss;
using generators::found_share;

namespace {

/// Pictures of one grey level, "dark" or "light".
class Greys : public PictureSource {
 public:
  std::int64_t side() const override { return 8; }
  CaptionedPictures at(std::int64_t first, std::int64_t count) const override {
    CaptionedPictures batch{torch::empty({count, 3, 8, 8}), {}};
    for (std::int64_t i = 0; i < count; ++i) {
      const bool light = (first + i) % 2 == 1;
      batch.images[i].fill_((light ? 0.7 : 0.1) + 0.02 * static_cast<double>((first + i) % 7));
      batch.prompts.push_back({light ? "a light picture" : "a dark picture"});
    }
    return batch;
  }
  std::string identity() const override { return "greys"; }
};

ClipTraining tiny() {
  ClipTraining options{.updates = 30, .batch_size = 8, .text_length = 6, .check_pictures = 16};
  options.vocabulary_pictures = 10;
  options.loop = {.log_every = 10, .check_every = 10, .save_every = 10};
  options.optimisation.schedule = {.learning_rate = 3e-3, .warmup = 5};
  options.model.projection_dim = 8;
  options.model.text_config = {
      .hidden_size = 8, .intermediate_size = 16, .num_hidden_layers = 1, .num_attention_heads = 2};
  options.model.vision_config = {.hidden_size = 8,
                                 .intermediate_size = 16,
                                 .num_hidden_layers = 1,
                                 .num_attention_heads = 2,
                                 .image_size = 8,
                                 .patch_size = 4};
  return options;
}

}  // namespace

TEST_CASE("contrast_loss is the mean of both cross-entropies", "[generators][clip]") {
  const auto logits = torch::tensor({{1.f, 0.f}, {0.f, 3.f}});
  const auto nll = [](double own, double other) { return std::log1p(std::exp(other - own)); };
  CHECK(contrast_loss(logits, {"a", "b"}).item<double>() ==
        Approx((nll(1, 0) + nll(3, 0)) / 2).epsilon(1e-5));
}

TEST_CASE("contrast_loss does not tell equal captions apart", "[generators][clip]") {
  // With all captions equal the best is to find them equally likely.
  const std::vector<std::string> same(3, "a");
  const auto even = torch::zeros({3, 3});
  CHECK(contrast_loss(even, same).item<double>() == Approx(std::log(3)).epsilon(1e-5));
  CHECK(contrast_loss(even + 5 * torch::eye(3), same).item<double>() > 1.2 * std::log(3));
  CHECK(found_share(torch::tensor({{0.f, 1.f}, {0.f, 1.f}}), {"a", "a"}) == 1);
  CHECK(found_share(torch::tensor({{0.f, 1.f}, {0.f, 1.f}}), {"a", "b"}) == 0.5);
}

TEST_CASE("train_clip learns which caption belongs to which picture", "[generators][clip]") {
  const ScratchFolder folder;
  generators::train_clip(tiny(), Greys(), {.run = folder.path()});
  auto model = nn::load_clip(folder / "model");
  const auto tokenizer = text::ClipTokenizer::load(folder / "model");
  const auto batch = Greys().at(1000, 20);
  std::vector<std::string> captions;
  std::vector<torch::Tensor> ids;
  for (const auto& prompt : batch.prompts) {
    captions.push_back(prompt.text);
    ids.push_back(torch::tensor(tokenizer.padded(prompt.text).ids));
  }
  const auto logits =
      model->logits_per_image(model->encode_images(nn::clip_pixels(batch.images, 8)),
                              model->encode_text(torch::stack(ids)));
  CHECK(found_share(logits, captions) == 1);
}

TEST_CASE("train_clip resumed ends bit for bit as unbroken", "[generators][clip]") {
  const ScratchFolder folder;
  auto options = tiny();
  options.updates = 20;
  generators::train_clip(options, Greys(), {.run = folder / "whole"});
  generators::train_clip(options, Greys(), {.run = folder / "parts"});
  std::filesystem::remove_all(folder / "parts" / "model");
  std::filesystem::path last;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "parts" / "checkpoints")) {
    last = std::max(last, entry.path());
  }
  std::filesystem::remove_all(last);
  generators::train_clip(options, Greys(), {.run = folder / "parts", .resume = true});
  const auto whole = nn::weights(*nn::load_clip(folder / "whole" / "model"));
  for (const auto& [name, tensor] : nn::weights(*nn::load_clip(folder / "parts" / "model"))) {
    INFO(name);
    CHECK(torch::equal(tensor, whole.at(name)));
  }
}

TEST_CASE("ClipTraining rejects what cannot be trained", "[generators][clip]") {
  const auto says = [](const std::function<void(ClipTraining&)>& change, const char* message) {
    auto options = tiny();
    change(options);
    REQUIRE_THROWS_MATCHES(options.validate(), ConfigError, Says(message));
  };
  says([](auto& o) { o.batch_size = 1; }, "batch_size must be > 1, got 1");
  says([](auto& o) { o.text_length = 2; }, "text_length must be > 2");
  says([](auto& o) { o.model.projection_dim = 0; }, "projection_dim must be > 0");
}
