#include "rahf/core/nn/group_norm.h"

#include <ATen/ops/group_norm.h>
#include <torch/autograd.h>

#include "rahf/core/error.h"
#include "support/catch.h"

using namespace rahf;
using nn::GroupNorm;

namespace {

GroupNorm some_norm(std::int64_t groups, std::int64_t channels, double eps = 1e-5) {
  GroupNorm norm(nn::GroupNormOptions{.groups = groups, .channels = channels, .eps = eps});
  const torch::NoGradGuard no_grad;
  for (auto& parameter : norm->parameters()) parameter.add_(0.3 * torch::randn({channels}));
  return norm;
}

torch::Tensor reference(GroupNorm& norm, const torch::Tensor& x, std::int64_t groups, double eps,
                        bool silu) {
  const auto parameters = norm->parameters();
  const auto z = at::group_norm(x, groups, parameters[0], parameters[1], eps);
  return silu ? torch::silu(z) : z;
}

}  // namespace

TEST_CASE("GroupNorm and its gradients equal LibTorch's operators", "[core][group_norm]") {
  torch::manual_seed(1);
  struct Case {
    std::int64_t batch, channels, height, width, groups;
  };
  const auto c = GENERATE(Case{2, 6, 5, 3, 3}, Case{1, 64, 40, 41, 32}, Case{3, 8, 1, 1, 1},
                          Case{1, 17, 3, 4, 17});
  const bool silu = GENERATE(false, true), channels_last = GENERATE(false, true);
  INFO(c.channels << ' ' << silu << ' ' << channels_last);
  auto norm = some_norm(c.groups, c.channels, 1e-3);
  auto x = (2 * torch::randn({c.batch, c.channels, c.height, c.width}) + 1);
  if (channels_last) x = x.contiguous(at::MemoryFormat::ChannelsLast);
  x.requires_grad_();
  const auto weight = torch::randn_like(x);
  auto variables = norm->parameters();
  variables.push_back(x);
  const auto y = silu ? norm->forward_silu(x) : norm->forward(x);
  const auto expected = reference(norm, x, c.groups, 1e-3, silu);
  CHECK(torch::allclose(y, expected, 1e-5, 1e-5));
  CHECK(y.is_contiguous(at::MemoryFormat::ChannelsLast));
  const auto got = torch::autograd::grad({(y * weight).sum()}, variables);
  const auto wanted = torch::autograd::grad({(expected * weight).sum()}, variables);
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(torch::allclose(got[i], wanted[i], 1e-4, 1e-4));
  }
}

TEST_CASE("GroupNorm's silu is right from far below to far above zero", "[core][group_norm]") {
  GroupNorm norm(nn::GroupNormOptions{.groups = 1, .channels = 2});
  const torch::NoGradGuard no_grad;
  norm->parameters()[0].fill_(1);
  norm->parameters()[1].copy_(torch::tensor({-100.F, 100.F}));
  const auto x = torch::randn({1, 2, 30, 30});
  const auto y = norm->forward_silu(x);
  const auto expected = torch::silu(norm->forward(x));
  CHECK(torch::allclose(y, expected, 1e-6, 1e-30));
}

TEST_CASE("GroupNorm keeps its digits beside a large mean", "[core][group_norm]") {
  torch::manual_seed(2);
  const torch::NoGradGuard no_grad;
  auto norm = some_norm(2, 4);
  const auto x = torch::randn({2, 4, 64, 64});
  // 4096 is a power of two: x + 4096 has lost 13 bits of x, and nothing else may be lost.
  const auto shifted = x + 4096;
  const auto exact = shifted.to(torch::kDouble) - 4096;
  CHECK(
      torch::allclose(norm->forward(shifted), norm->forward(exact.to(torch::kFloat)), 1e-3, 2e-3));
}

TEST_CASE("GroupNorm has gradients of gradients", "[core][group_norm]") {
  torch::manual_seed(3);
  auto norm = some_norm(2, 4);
  auto x = torch::randn({1, 4, 3, 3}).requires_grad_();
  const auto second = [&](const torch::Tensor& y) {
    const auto first = torch::autograd::grad({y.pow(3).sum()}, {x}, {}, true, true)[0];
    return torch::autograd::grad({first.square().sum()}, {x})[0];
  };
  CHECK(torch::allclose(second(norm->forward_silu(x)), second(reference(norm, x, 2, 1e-5, true)),
                        1e-3, 1e-3));
}

TEST_CASE("GroupNorm computes other element types by LibTorch's operators", "[core][group_norm]") {
  torch::manual_seed(4);
  const torch::NoGradGuard no_grad;
  auto norm = some_norm(2, 4);
  const auto x = torch::randn({1, 4, 3, 3});
  const auto exact = norm->forward_silu(x);
  norm->to(torch::kBFloat16);
  const auto rounded = norm->forward_silu(x.to(torch::kBFloat16));
  CHECK(rounded.scalar_type() == torch::kBFloat16);
  CHECK(torch::allclose(rounded.to(torch::kFloat), exact, 0.05, 0.05));
}

TEST_CASE("GroupNorm refuses groups that do not divide the channels", "[core][group_norm]") {
  REQUIRE_THROWS_MATCHES(GroupNorm(nn::GroupNormOptions{.groups = 3, .channels = 4}), ConfigError,
                         Says("groups must be > 0 and divide channels, got 3 for 4"));
}
