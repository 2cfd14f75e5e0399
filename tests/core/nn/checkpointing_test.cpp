#include "rahf/core/nn/checkpointing.h"

#include <ATen/autocast_mode.h>
#include <torch/autograd.h>
#include <torch/nn/modules/linear.h>

#include "rahf/core/nn/t5.h"
#include "rahf/core/nn/vit.h"
#include "support/catch.h"

using namespace rahf;
using torch::Tensor;

namespace {

/// Gradients of every parameter, and what is drawn after forward and after backward.
template <class Model, class Loss>
std::vector<Tensor> gradients(Model& model, const Loss& loss, bool checkpointing) {
  model->set_gradient_checkpointing(checkpointing);
  model->zero_grad();
  torch::manual_seed(5);
  const auto value = loss();
  std::vector<Tensor> all{value.detach(), torch::rand({3})};
  value.backward();
  all.push_back(torch::rand({3}));
  for (const auto& parameter : model->parameters()) all.push_back(parameter.grad().clone());
  return all;
}

void require_equal(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    INFO("tensor " << i);
    CHECK(torch::equal(a[i], b[i]));
  }
}

}  // namespace

TEST_CASE("Gradient checkpointing changes no gradient and no draw of a ViT",
          "[core][checkpointing]") {
  torch::manual_seed(1);
  nn::ViT model(nn::ViTOptions{.width = 8,
                               .layers = 3,
                               .heads = 2,
                               .hidden = 12,
                               .image_size = 6,
                               .patch_size = 2,
                               .dropout = GENERATE(0.0, 0.3)});
  const auto pixels = torch::rand({2, 3, 6, 6});
  const auto loss = [&] { return model(pixels).square().sum(); };
  require_equal(gradients(model, loss, false), gradients(model, loss, true));
}

TEST_CASE("Gradient checkpointing changes no gradient and no draw of a T5",
          "[core][checkpointing]") {
  torch::manual_seed(2);
  nn::T5 model(nn::T5Options{.vocab_size = 11,
                             .d_model = 8,
                             .d_kv = 3,
                             .num_heads = 2,
                             .num_layers = 2,
                             .num_decoder_layers = 2,
                             .d_ff = 10,
                             .dropout = GENERATE(0.0, 0.3)});
  const auto ids = torch::randint(0, 11, {2, 5}, torch::kLong);
  const auto mask = torch::rand({2, 5}) > 0.3;
  const auto loss = [&] {
    return model->decode(ids, model->encode(model->embed(ids), mask), mask).square().sum();
  };
  require_equal(gradients(model, loss, false), gradients(model, loss, true));
}

TEST_CASE("checkpoint gives the gradients of finite differences", "[core][checkpointing]") {
  torch::manual_seed(3);
  torch::nn::Linear linear(3, 2);
  linear->to(torch::kDouble);
  auto x = torch::randn({4, 3}, torch::kDouble).requires_grad_();
  const auto loss = [&] {
    return nn::checkpoint(*linear, {x}, [&](const auto& in) { return linear(in[0]).tanh(); })
        .square()
        .sum();
  };
  const auto gradient = torch::autograd::grad({loss()}, {x})[0];
  const torch::NoGradGuard no_grad;
  const double step = 1e-6;
  auto flat = x.detach().view(-1);
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    const auto at = flat[i].item<double>();
    flat[i] = at + step;
    const auto above = loss().item<double>();
    flat[i] = at - step;
    const auto below = loss().item<double>();
    flat[i] = at;
    CHECK(gradient.view(-1)[i].item<double>() == Approx((above - below) / (2 * step)).margin(1e-7));
  }
}

TEST_CASE("checkpoint recomputes under the autocast of its forward pass", "[core][checkpointing]") {
  torch::manual_seed(4);
  torch::nn::Linear linear(16, 16);
  const auto x = torch::randn({8, 16});
  std::vector<torch::Dtype> seen;
  const auto gradient = [&](bool checkpointing) {
    linear->zero_grad();
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, true);
    const nn::CheckpointBody body = [&](const auto& in) {
      const auto out = linear(in[0]);
      seen.push_back(out.scalar_type());
      return out;
    };
    const auto out = checkpointing ? nn::checkpoint(*linear, {x}, body) : body({x});
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
    out.to(torch::kFloat).square().sum().backward();
    return linear->weight.grad().clone();
  };
  const auto plain = gradient(false);
  CHECK(torch::equal(gradient(true), plain));
  CHECK(seen == std::vector<torch::Dtype>(3, torch::kBFloat16));
  CHECK(linear(x).scalar_type() == torch::kFloat);
}

TEST_CASE("checkpoint runs its body once where no gradient is asked for", "[core][checkpointing]") {
  torch::nn::Linear linear(2, 2);
  int runs = 0;
  const auto call = [&] {
    return nn::checkpoint(*linear, {torch::ones({1, 2})}, [&](const auto& in) {
      ++runs;
      return linear(in[0]);
    });
  };
  {
    const torch::NoGradGuard no_grad;
    CHECK_FALSE(call().requires_grad());
    CHECK(runs == 1);
  }
  call().sum().backward();
  CHECK(runs == 3);
}

TEST_CASE("checkpoint notices that a parameter was changed before backward",
          "[core][checkpointing]") {
  torch::nn::Linear linear(2, 2);
  const auto out =
      nn::checkpoint(*linear, {torch::ones({1, 2})}, [&](const auto& in) { return linear(in[0]); });
  {
    const torch::NoGradGuard no_grad;
    linear->weight.add_(1);
  }
  REQUIRE_THROWS_MATCHES(out.sum().backward(), std::exception, Says("modified by an inplace"));
}
