#include "rahf/reward/model/heads.h"

#include "support/catch.h"

using namespace rahf::reward;

TEST_CASE("HeatmapHead doubles the grid once per stage", "[reward][heads]") {
  const auto design = GENERATE(HeadDesign::kPlain, HeadDesign::kResidual);
  const auto stage_convs = GENERATE(0, 1, 2);
  HeatmapHead head(16, HeatmapHeadOptions{.design = design,
                                          .entry = {12, 8},
                                          .stages = {8, 6, 4},
                                          .stage_convs = stage_convs,
                                          .readout = 4});
  CHECK(head(torch::randn({2, 16, 4, 5})).sizes() == torch::IntArrayRef({2, 32, 40}));
}

TEST_CASE("HeatmapHead starts near its initial logit", "[reward][heads]") {
  torch::manual_seed(1);
  HeatmapHead head(
      8, HeatmapHeadOptions{.entry = {8}, .stages = {4}, .readout = 4, .initial_logit = -4});
  const auto logits = head(torch::zeros({1, 8, 4, 4}));
  CHECK((logits + 4).abs().max().item<float>() < 1);
}

TEST_CASE("HeatmapHead of the paper's width has the published channels", "[reward][heads]") {
  const HeatmapHead head(768, HeatmapHeadOptions{});
  const auto shapes = head->named_parameters();
  CHECK(shapes["entry.0.weight"].sizes() == torch::IntArrayRef({768, 768, 3, 3}));
  CHECK(shapes["entry.1.weight"].sizes() == torch::IntArrayRef({384, 768, 3, 3}));
  CHECK(shapes["up.0.weight"].sizes() == torch::IntArrayRef({384, 768, 3, 3}));
  CHECK(shapes["up.3.weight"].sizes() == torch::IntArrayRef({384, 192, 3, 3}));
  CHECK(shapes["last.weight"].sizes() == torch::IntArrayRef({1, 192, 3, 3}));
}

TEST_CASE("ScoreHead gives one logit per picture in both designs", "[reward][heads]") {
  const auto design = GENERATE(HeadDesign::kPlain, HeadDesign::kResidual);
  ScoreHead head(16, 5, ScoreHeadOptions{.design = design, .channels = {8, 4}, .hidden = {6}});
  CHECK(head(torch::randn({3, 16, 5, 5})).sizes() == torch::IntArrayRef({3}));
}

TEST_CASE("ScoreHead looks at places as well as at means", "[reward][heads]") {
  torch::manual_seed(2);
  ScoreHead head(4, 4, ScoreHeadOptions{.channels = {6}, .hidden = {8}});
  const auto features = torch::randn({1, 4, 4, 4});
  CHECK_FALSE(torch::allclose(head(features), head(features.flip(3)), 1e-3));
}

TEST_CASE("ChannelNorm has the mean square or the deviation one over channels", "[reward][heads]") {
  torch::manual_seed(3);
  const auto x = torch::randn({2, 32, 3, 3}) * 5 + 2;
  const auto rms = ChannelNorm(32, HeadDesign::kResidual)(x);
  CHECK(torch::allclose(rms.square().mean(1), torch::ones({2, 3, 3}), 0, 1e-4));
  const auto layer = ChannelNorm(32, HeadDesign::kPlain)(x);
  CHECK(layer.mean(1).abs().max().item<float>() < 1e-5);
  CHECK(torch::allclose(layer.square().mean(1), torch::ones({2, 3, 3}), 0, 1e-4));
}

TEST_CASE("ChannelNorm's gradient is bounded by its eps", "[reward][heads]") {
  const auto design = GENERATE(HeadDesign::kPlain, HeadDesign::kResidual);
  const double root = design == HeadDesign::kPlain ? 1e-3 : 1e-4;  // of eps
  auto x = (torch::tensor({1e-6F, -1e-6F}).reshape({1, 2, 1, 1})).requires_grad_();
  ChannelNorm norm(2, design);
  const auto y = norm->forward(x);
  CHECK(y.abs().max().item<double>() == Approx(1e-6 / root).epsilon(1e-3));
  y.select(1, 0).sum().backward();
  CHECK(x.grad().abs().max().item<double>() <= 1.001 / root);
}

TEST_CASE("heads say which of their options cannot be", "[reward][heads][errors]") {
  REQUIRE_THROWS_MATCHES(HeatmapHead(8, HeatmapHeadOptions{.entry = {}}), rahf::ConfigError,
                         Says("heatmap_head.entry = , must be one or more numbers > 0"));
  REQUIRE_THROWS_MATCHES(HeatmapHead(8, HeatmapHeadOptions{.stage_convs = -1}), rahf::ConfigError,
                         Says("stage_convs = -1, must be >= 0"));
  REQUIRE_THROWS_MATCHES(
      ScoreHead(8, 2, ScoreHeadOptions{.design = HeadDesign::kPlain, .channels = {4, 4}}),
      rahf::ConfigError, Says("2 convolutions without padding leave nothing of a grid of 2"));
}
