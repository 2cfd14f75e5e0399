#include "rahf/core/nn/attention.h"

#include <ATen/ops/softmax.h>
#include <torch/autograd.h>

#include <cmath>

#include "rahf/core/nn/rms_norm.h"
#include "support/catch.h"

using namespace rahf;
using nn::attention;
using torch::Tensor;

namespace {

Tensor by_definition(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& bias,
                     double scale) {
  return torch::matmul(torch::softmax(torch::matmul(q, k.transpose(-2, -1)) * scale + bias, -1), v);
}

}  // namespace

TEST_CASE("attention gives a value worked by hand", "[core][attention]") {
  // Scores ln 3 and 0: three quarters of the first value, a quarter of the second.
  const auto q = torch::full({1, 1, 1, 1}, std::log(3.0F));
  const auto k = torch::tensor({1.0F, 0.0F}).view({1, 1, 2, 1});
  const auto v = torch::tensor({4.0F, 8.0F}).view({1, 1, 2, 1});
  CHECK(attention(q, k, v).item<float>() == Approx(5));
  CHECK(attention(q, k, v, {}, {.scale = 0}).item<float>() == Approx(6));
  CHECK(attention(q, k, v, nn::mask_bias(torch::tensor({false, true}).view({1, 1, 1, 2})))
            .item<float>() == 8);
}

TEST_CASE("attention is the same whether or not the bias needs a gradient", "[core][attention]") {
  torch::manual_seed(1);
  const auto q = torch::randn({2, 3, 5, 4}), k = torch::randn({2, 3, 7, 4}),
             v = torch::randn({2, 3, 7, 4});
  auto bias = torch::randn({1, 3, 5, 7});
  const auto scale = GENERATE(std::optional<double>(), std::optional<double>(1.0));
  const auto expected = by_definition(q, k, v, bias, scale.value_or(0.5));
  CHECK(torch::allclose(attention(q, k, v, bias, {.scale = scale}), expected, 1e-5, 1e-6));
  bias.requires_grad_();
  CHECK(torch::allclose(attention(q, k, v, bias, {.scale = scale}), expected, 1e-5, 1e-6));
}

TEST_CASE("attention has the gradients of finite differences", "[core][attention]") {
  torch::manual_seed(2);
  const auto make = [](int rows) { return torch::randn({1, 2, rows, 3}, torch::kDouble); };
  std::vector<Tensor> in{make(2), make(4), make(4), torch::randn({1, 2, 2, 4}, torch::kDouble)};
  for (auto& x : in) x.requires_grad_();
  const auto loss = [&] { return attention(in[0], in[1], in[2], in[3]).pow(3).sum(); };
  const auto gradients = torch::autograd::grad({loss()}, in);
  const torch::NoGradGuard no_grad;
  const double step = 1e-6;
  for (std::size_t i = 0; i < in.size(); ++i) {
    auto flat = in[i].detach().view(-1);
    for (std::int64_t j = 0; j < flat.numel(); ++j) {
      const auto at = flat[j].item<double>();
      flat[j] = at + step;
      const auto above = loss().item<double>();
      flat[j] = at - step;
      const auto below = loss().item<double>();
      flat[j] = at;
      CHECK(gradients[i].reshape(-1)[j].item<double>() ==
            Approx((above - below) / (2 * step)).margin(1e-6));
    }
  }
}

TEST_CASE("attention's softmax is in f32 under bf16", "[core][attention]") {
  torch::manual_seed(3);
  // 500 equal scores: shares of 1/500 add up to 1 only if their sum is kept in f32.
  const auto q = torch::zeros({1, 1, 1, 8}, torch::kBFloat16);
  const auto k = torch::zeros({1, 1, 500, 8}, torch::kBFloat16);
  const auto v = torch::ones({1, 1, 500, 8}, torch::kBFloat16);
  auto bias = torch::zeros({1, 1, 1, 500}, torch::kBFloat16);
  if (GENERATE(false, true)) bias.requires_grad_();
  const auto out = attention(q, k, v, bias);
  CHECK(out.scalar_type() == torch::kBFloat16);
  CHECK(out.to(torch::kFloat).min().item<float>() == Approx(1).margin(0.005));
}

TEST_CASE("attention gives the mean of the values where a mask leaves nothing",
          "[core][attention]") {
  const auto dtype = GENERATE(torch::kFloat, torch::kBFloat16);
  const auto q = torch::randn({1, 1, 1, 2}).to(dtype), k = torch::randn({1, 1, 2, 2}).to(dtype);
  const auto v = torch::tensor({1.0F, 2.0F, 3.0F, 4.0F}).view({1, 1, 2, 2}).to(dtype);
  const auto out = attention(q, k, v, nn::mask_bias(torch::zeros({1, 1, 1, 2}, torch::kBool)));
  CHECK(torch::equal(out.to(torch::kFloat).flatten(), torch::tensor({2.0F, 3.0F})));
}

TEST_CASE("split_heads and merge_heads undo each other", "[core][attention]") {
  const auto x = torch::arange(24).view({2, 3, 4});
  const auto heads = nn::split_heads(x, 2);
  CHECK(heads.sizes() == at::IntArrayRef({2, 2, 3, 2}));
  CHECK(heads[1][1][2][0].item<std::int64_t>() == x[1][2][2].item<std::int64_t>());
  CHECK(torch::equal(nn::merge_heads(heads), x));
}

TEST_CASE("RmsNorm divides by the root of the mean square", "[core][attention]") {
  nn::RmsNorm norm(2, 0.5);
  const auto out = norm(torch::tensor({3.0F, 4.0F}));  // mean square 12.5, and 0.5
  CHECK(out[0].item<float>() == Approx(3 / std::sqrt(13.0)));
  CHECK(out[1].item<float>() == Approx(4 / std::sqrt(13.0)));
  norm->to(torch::kBFloat16);
  CHECK(norm(torch::ones({2}, torch::kBFloat16)).scalar_type() == torch::kBFloat16);
}
