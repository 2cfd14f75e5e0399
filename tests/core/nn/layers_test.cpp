#include "rahf/core/nn/layers.h"

#include <cmath>

#include "support/catch.h"

using namespace rahf;
using nn::Conv2d;
using nn::Linear;
using torch::nn::Conv2dOptions;

TEST_CASE("Linear and Conv2d compute what LibTorch's do", "[core][layers]") {
  torch::manual_seed(1);
  Linear linear(3, 2);
  const auto x = torch::randn({4, 3});
  CHECK(torch::allclose(linear(x), x.matmul(linear->weight.t()) + linear->bias));
  Conv2d conv(Conv2dOptions(4, 6, 3).stride(2).padding(1).groups(2));
  const auto map = torch::randn({2, 4, 5, 7});
  CHECK(torch::allclose(conv(map), torch::conv2d(map, conv->weight, conv->bias, 2, 1, 1, 2)));
  CHECK_FALSE(Conv2d(Conv2dOptions(1, 1, 1).bias(false))->bias.defined());
}

TEST_CASE("Linear and Conv2d start uniform within 1 / sqrt(fan in)", "[core][layers]") {
  torch::manual_seed(2);
  const auto check = [](const torch::Tensor& weight, double bound) {
    CHECK(weight.abs().max().item<double>() <= bound);
    CHECK(weight.std().item<double>() == Approx(bound / std::sqrt(3.0)).epsilon(0.05));
  };
  check(Linear(64, 100)->weight, 1 / 8.0);
  check(Conv2d(16, 40, 2)->weight, 1 / 8.0);
}

TEST_CASE("Linear adds its adapters by their scale", "[core][layers]") {
  Linear linear(2, 2);
  const auto x = torch::ones({1, 2});
  const auto plain = linear(x);
  linear->adapters.push_back({.name = "a",
                              .down = torch::ones({1, 2}),
                              .up = torch::tensor({1.F, 3.F}).view({2, 1}),
                              .scale = 0.5});
  CHECK(torch::allclose(linear(x) - plain, torch::tensor({{1.F, 3.F}})));
  linear->adapters[0].scale = 0;
  CHECK(torch::equal(linear(x), plain));
}
