#include "rahf/core/train/adamw.h"

#include <torch/optim/adamw.h>

#include <cmath>
#include <limits>

#include "rahf/core/error.h"
#include "rahf/core/train/clipping.h"
#include "rahf/core/train/ema.h"
#include "support/catch.h"

using rahf::train::AdamW;
using rahf::train::Ema;

TEST_CASE("AdamW makes the step worked out by hand", "[core][adamw]") {
  auto w = torch::tensor({1.0F, -2.0F});
  AdamW optimiser({{.name = "w", .value = w}},
                  {.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-12, .weight_decay = 0.1});
  // The first step moves each weight by lr sign(g), after a decay of lr 0.1 w.
  optimiser.step({torch::tensor({0.5F, -3.0F})}, 0.01);
  const auto expected = torch::tensor({1.0F - 0.001F - 0.01F, -2.0F + 0.002F + 0.01F});
  CHECK(torch::allclose(w, expected, 0, 1e-6));
}

TEST_CASE("AdamW follows torch::optim::AdamW", "[core][adamw]") {
  torch::manual_seed(1);
  auto own = torch::randn({5, 3});
  auto reference = own.clone().set_requires_grad(true);
  AdamW optimiser({{.name = "w", .value = own}}, {.weight_decay = 0.05});
  torch::optim::AdamW peer({reference}, torch::optim::AdamWOptions(1e-2).weight_decay(0.05));
  for (int i = 0; i < 10; ++i) {
    const auto gradient = torch::randn({5, 3});
    optimiser.step({gradient}, 1e-2);
    reference.mutable_grad() = gradient.clone();
    peer.step();
  }
  CHECK(torch::allclose(own, reference, 0, 1e-6));
}

TEST_CASE("AdamW takes gradients in whatever memory format they come", "[core][adamw]") {
  torch::manual_seed(3);
  auto rows = torch::randn({4, 3, 2, 2});
  auto mixed = rows.clone();
  AdamW optimiser({{.name = "w", .value = rows}}, {});
  AdamW other({{.name = "w", .value = mixed}}, {});
  for (int i = 0; i < 3; ++i) {
    const auto gradient = torch::randn({4, 3, 2, 2});
    optimiser.step({gradient}, 0.1);
    // As convolutions of channels-last pictures give them.
    other.step({gradient.contiguous(torch::MemoryFormat::ChannelsLast)}, 0.1);
  }
  CHECK(torch::equal(rows, mixed));
}

TEST_CASE("AdamW scales learning rates and spares what has no decay", "[core][adamw]") {
  auto slow = torch::ones({2}), still = torch::ones({2}), plain = torch::ones({2});
  AdamW optimiser({{.name = "slow", .value = slow, .lr_scale = 0.1},
                   {.name = "still", .value = still, .lr_scale = 0},
                   {.name = "plain", .value = plain, .weight_decay = false}},
                  {.epsilon = 1e-12, .weight_decay = 0});
  const auto gradient = torch::ones({2});
  optimiser.step({gradient, gradient, gradient}, 0.1);
  CHECK(torch::allclose(slow, torch::full({2}, 0.99F), 0, 1e-6));
  CHECK(torch::equal(still, torch::ones({2})));
  CHECK(torch::allclose(plain, torch::full({2}, 0.9F), 0, 1e-6));

  auto decayed = torch::ones({2}), spared = torch::ones({2});
  AdamW decay({{.name = "decayed", .value = decayed},
               {.name = "spared", .value = spared, .weight_decay = false}},
              {.weight_decay = 0.5});
  decay.step({torch::zeros({2}), torch::zeros({2})}, 0.1);
  CHECK(torch::allclose(decayed, torch::full({2}, 0.95F), 0, 1e-6));
  CHECK(torch::equal(spared, torch::ones({2})));
}

TEST_CASE("AdamW leaves weights and moments alone when told of an infinity", "[core][adamw]") {
  auto w = torch::ones({3});
  AdamW optimiser({{.name = "w", .value = w}}, {});
  optimiser.step({torch::ones({3})}, 0.1);
  const auto before = w.clone();
  auto state = optimiser.state();
  for (auto& [name, tensor] : state) tensor = tensor.clone();

  optimiser.step({torch::full({3}, std::numeric_limits<float>::quiet_NaN())}, 0.1, torch::ones({}));

  CHECK(torch::equal(w, before));
  for (const auto& [name, tensor] : optimiser.state()) {
    CAPTURE(name);
    CHECK(torch::equal(tensor, state.at(name)));
  }
}

TEST_CASE("AdamW goes on from a saved state as if it had not stopped", "[core][adamw]") {
  torch::manual_seed(2);
  auto unbroken = torch::randn({4});
  auto resumed = unbroken.clone();
  AdamW first({{.name = "w", .value = unbroken}}, {});
  AdamW before({{.name = "w", .value = resumed}}, {});
  const auto g1 = torch::randn({4}), g2 = torch::randn({4});
  first.step({g1}, 0.1);
  first.step({g2}, 0.1);
  before.step({g1}, 0.1);
  AdamW after({{.name = "w", .value = resumed}}, {});
  after.load_state(before.state());
  after.step({g2}, 0.1);
  CHECK(torch::equal(resumed, unbroken));
  REQUIRE_THROWS_MATCHES(after.load_state({}), rahf::CheckpointError, Says("exp_avg/w is missing"));
}

TEST_CASE("AdamW names the option that is out of range", "[core][adamw][errors]") {
  REQUIRE_THROWS_MATCHES(AdamW({}, {.beta2 = 1}), rahf::ConfigError,
                         Says("AdamW.beta2 = 1, must be in [0, 1)"));
}

TEST_CASE("clip_gradients scales all gradients by one factor to the norm", "[core][adamw]") {
  std::vector<torch::Tensor> gradients = {torch::tensor({3.0F}), torch::tensor({0.0F, 4.0F})};
  SECTION("above it") {
    CHECK(rahf::train::clip_gradients(gradients, 1).item<float>() == 5);
    CHECK(torch::allclose(gradients[0], torch::tensor({0.6F}), 0, 1e-5));
    CHECK(torch::allclose(gradients[1], torch::tensor({0.0F, 0.8F}), 0, 1e-5));
  }
  SECTION("below it nothing changes") {
    rahf::train::clip_gradients(gradients, 10);
    CHECK(gradients[0].item<float>() == 3);
  }
  SECTION("zero switches it off") {
    rahf::train::clip_gradients(gradients, 0);
    CHECK(gradients[0].item<float>() == 3);
  }
  SECTION("a gradient that is not finite shows in the norm") {
    gradients[0].fill_(std::numeric_limits<float>::infinity());
    CHECK(std::isinf(rahf::train::clip_gradients(gradients, 1).item<float>()));
  }
}

TEST_CASE("Ema forgets its start early and then moves by 1 - decay", "[core][adamw]") {
  auto w = torch::zeros({1});
  Ema ema({w}, 0.9);
  w.fill_(1);
  ema.update(0);  // decay 1/10
  CHECK(std::abs(ema.averages()[0].item<float>() - 0.9F) < 1e-6);
  ema.update(1000);  // decay 0.9
  CHECK(std::abs(ema.averages()[0].item<float>() - 0.91F) < 1e-6);
}

TEST_CASE("Ema swapped twice changes nothing", "[core][adamw]") {
  auto w = torch::tensor({2.0F});
  Ema ema({w}, 0.9);
  w.fill_(5);
  ema.swap();
  CHECK(w.item<float>() == 2);
  ema.swap();
  CHECK(w.item<float>() == 5);
  CHECK(ema.averages()[0].item<float>() == 2);
}
