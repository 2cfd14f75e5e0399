#include "rahf/generators/pretrain/ema_codebook.h"

#include <ATen/ops/cdist.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/multinomial.h>
#include <ATen/ops/where.h>
#include <c10/util/StringUtil.h>

#include <utility>
#include <vector>

#include "rahf/core/error.h"

namespace rahf::generators {
namespace {

/// How many latents chose each of V codes, and their sums.
std::pair<torch::Tensor, torch::Tensor> sums_by_code(const torch::Tensor& latents,
                                                     const torch::Tensor& ids,
                                                     std::int64_t num_codes) {
  const auto uses = torch::zeros({num_codes}, latents.options())
                        .index_add_(0, ids, torch::ones({ids.size(0)}, latents.options()));
  const auto sums =
      torch::zeros({num_codes, latents.size(1)}, latents.options()).index_add_(0, ids, latents);
  return {uses, sums};
}

torch::Tensor squared_distance(const torch::Tensor& latents, const torch::Tensor& one) {
  return (latents - one).square().sum(1);  // [N]
}

torch::Tensor far_latents_first(const torch::Tensor& latents, std::int64_t num_codes,
                                at::Generator& generator) {
  constexpr double kTiny = 1e-12;  // so that there is something to draw when all are equal
  const auto first = torch::ones({latents.size(0)}).multinomial(1, false, generator);
  std::vector<torch::Tensor> codes = {latents.index_select(0, first)};
  auto distance = squared_distance(latents, codes.back());
  while (static_cast<std::int64_t>(codes.size()) < num_codes) {
    const auto next = (distance + kTiny).multinomial(1, false, generator);
    codes.push_back(latents.index_select(0, next));
    distance = at::minimum(distance, squared_distance(latents, codes.back()));
  }
  return torch::cat(codes);  // [V, E]
}

}  // namespace

void EmaCodebookOptions::validate() const {
  const auto require = [](bool ok, const char* name, double value, const char* range) {
    if (ok) return;
    throw ConfigError(c10::str("EmaCodebookOptions: ", name, " must be ", range, ", got ", value));
  };
  require(decay >= 0 && decay < 1, "decay", decay, "in [0, 1)");
  require(restart_below >= 0, "restart_below", restart_below, ">= 0");
  require(lloyd_rounds >= 0, "lloyd_rounds", static_cast<double>(lloyd_rounds), ">= 0");
}

EmaCodebook::EmaCodebook(torch::Tensor codes, const EmaCodebookOptions& options)
    : codes_(std::move(codes)), options_(options) {
  options_.validate();
  const torch::NoGradGuard no_grad;
  codes_ = codes_.detach();  // the same memory
  uses_ = torch::zeros({codes_.size(0)}, codes_.options());
  sums_ = torch::zeros_like(codes_);
}

void EmaCodebook::start(const torch::Tensor& latents, double batches, at::Generator generator) {
  const torch::NoGradGuard no_grad;
  const auto num_codes = codes_.size(0);
  if (latents.dim() != 2 || latents.size(1) != codes_.size(1) || latents.size(0) < num_codes) {
    throw ShapeError(c10::str("EmaCodebook::start: latents must be [N, ", codes_.size(1),
                              "] with N >= ", num_codes, ", got ", latents.sizes()));
  }
  const auto host = latents.to(torch::kCPU);
  auto codes = far_latents_first(host, num_codes, generator);
  auto [uses, sums] = sums_by_code(host, at::cdist(host, codes).argmin(1), num_codes);
  for (std::int64_t round = 0; round < options_.lloyd_rounds; ++round) {
    const auto used = (uses > 0).unsqueeze(1);
    codes = torch::where(used, sums / uses.clamp_min(1).unsqueeze(1), codes);
    std::tie(uses, sums) = sums_by_code(host, at::cdist(host, codes).argmin(1), num_codes);
  }
  codes_.copy_(codes);
  uses_.copy_(uses.clamp_min(1) / batches);
  sums_.copy_(codes_ * uses_.unsqueeze(1));
  started_ = true;
}

void EmaCodebook::update(const torch::Tensor& latents, const torch::Tensor& ids,
                         at::Generator generator) {
  const torch::NoGradGuard no_grad;
  const auto [uses, sums] = sums_by_code(latents, ids, codes_.size(0));
  uses_.mul_(options_.decay).add_(uses, 1 - options_.decay);
  sums_.mul_(options_.decay).add_(sums, 1 - options_.decay);
  codes_.copy_(sums_ / uses_.clamp_min(1e-9).unsqueeze(1));
  if (options_.restart_below <= 0) return;
  // Every code gets a latent, drawn from those that their codes fit least; the idle ones take it.
  const auto misfit = squared_distance(latents, codes_.index_select(0, ids)).to(torch::kCPU);
  const auto drawn = (misfit + 1e-9).multinomial(codes_.size(0), true, generator);
  const auto fresh = latents.index_select(0, drawn.to(latents.device()));
  const auto idle = uses_ < options_.restart_below;
  uses_.masked_fill_(idle, 2 * options_.restart_below);
  codes_.copy_(torch::where(idle.unsqueeze(1), fresh, codes_));
  sums_.copy_(codes_ * uses_.unsqueeze(1));
}

io::TensorMap EmaCodebook::state() const {
  return {{"uses", uses_},
          {"sums", sums_},
          {"codes", codes_},
          {"started", torch::scalar_tensor(started_ ? 1.0 : 0.0)}};
}

void EmaCodebook::load_state(const io::TensorMap& state) {
  const torch::NoGradGuard no_grad;
  uses_.copy_(state.at("uses"));
  sums_.copy_(state.at("sums"));
  codes_.copy_(state.at("codes"));
  started_ = state.at("started").item<float>() > 0;
}

}  // namespace rahf::generators
