#include "rahf/generators/residual_block.h"

#include "rahf/core/nn/weights.h"
#include "support/catch.h"

using namespace rahf;
using generators::Upsample;

TEST_CASE("Upsample computes the same with and without a gradient recorded",
          "[generators][residual_block]") {
  torch::manual_seed(1);
  Upsample up(6);
  const auto x = torch::randn({2, 6, 5, 3});
  const auto repeated = x.repeat_interleave(2, 2).repeat_interleave(2, 3);
  const auto weights = nn::weights(*up);
  const auto expected =
      torch::conv2d(repeated, weights.at("conv.weight"), weights.at("conv.bias"), 1, 1);
  CHECK(torch::allclose(up(x, 10, 6), expected, 1e-5, 1e-6));
  const torch::NoGradGuard no_grad;
  CHECK(torch::allclose(up(x, 10, 6), expected, 1e-5, 1e-6));
  CHECK(torch::allclose(up(x, 9, 6),
                        torch::conv2d(repeated.slice(2, 0, 9), weights.at("conv.weight"),
                                      weights.at("conv.bias"), 1, 1),
                        1e-5, 1e-6));
}

TEST_CASE("ResidualBlock adds the time to every pixel of its sample",
          "[generators][residual_block]") {
  torch::manual_seed(2);
  const torch::NoGradGuard no_grad;
  generators::ResidualBlock block(generators::ResidualBlockOptions{
      .in_channels = 4, .out_channels = 6, .time_channels = 3, .norm_groups = 2});
  const auto x = torch::randn({2, 4, 3, 5}), time = torch::randn({2, 3});
  const auto both = block(x, time);
  CHECK(both.sizes() == at::IntArrayRef({2, 6, 3, 5}));
  CHECK(torch::allclose(block(x.slice(0, 1), time.slice(0, 1)), both.slice(0, 1), 1e-5, 1e-6));
  CHECK_FALSE(torch::allclose(block(x, time.flip(0)), both));
}
