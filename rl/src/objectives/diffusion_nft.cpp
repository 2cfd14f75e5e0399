#include "rahf/rl/objectives/diffusion_nft.h"

#include <torch/types.h>

#include <algorithm>
#include <string>

#include "rahf/core/error.h"

namespace rahf::rl {

void DiffusionNftOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("DiffusionNftOptions.") + name + " = " +
                      option_text::write(value) + ", must be " + range);
  };
  rollout.validate();
  advantage.validate();
  levels.validate();
  map.validate();
  check("updates", static_cast<double>(updates), updates > 0, "> 0");
  check("micro_batch", static_cast<double>(micro_batch), micro_batch > 0, "> 0");
  check("beta", beta, beta > 0, "> 0");
  check("kl_weight", kl_weight, kl_weight >= 0, ">= 0");
  check("old_flat_rounds", old_flat_rounds, old_flat_rounds >= 0, ">= 0");
  check("old_slope", old_slope, old_slope >= 0, ">= 0");
  check("old_limit", old_limit, old_limit >= 0 && old_limit < 1, "in [0, 1)");
}

double DiffusionNftOptions::old_decay(std::int64_t round) const {
  return std::clamp(old_slope * (static_cast<double>(round + 1) - old_flat_rounds), 0., old_limit);
}

NftMixtures nft_mixtures(const torch::Tensor& trained, const torch::Tensor& old, double beta) {
  return {.towards = (1 - beta) * old + beta * trained, .away = (1 + beta) * old - beta * trained};
}

torch::Tensor nft_optimality(const torch::Tensor& advantages, double clip) {
  return (advantages / (2 * clip) + 0.5).clamp(0, 1);
}

DiffusionNft::DiffusionNft(DiffusionNftOptions options, Stage stage)
    : Objective(std::move(stage)), options_(std::move(options)), seen_(1) {
  options_.validate();
  if (generator().traits().discrete) {
    throw ConfigError(
        "diffusion-nft: the generator must predict latents, whose predictions mix; this one "
        "predicts tokens (a policy gradient or reward-weighted objective works)");
  }
  trainable_ = generator().trainable();
  for (const auto& one : trainable_) old_.push_back(one.value.detach().clone());
}

Measures DiffusionNft::begin_round(std::int64_t round) {
  index_ = round;
  const bool maps = options_.map.strength > 0;
  round_ = make_round(generator(), stage().scorer, stage().prompts, options_.rollout, round,
                      stage().random, Policy::kOld, /*keep_trajectory=*/false, maps);
  count_pictures(round_.rollout.images);
  const auto found = advantages(round_.scored.total.unsqueeze(1), {1}, round_.rollout.prompts,
                                options_.advantage, seen_);
  const auto order = shuffled(found.rows.numel(), stage().random, "pictures", round);
  rows_ = found.rows.index_select(0, order);
  advantages_ = found.values;
  weights_.reset();
  if (maps) {
    weights_ =
        weighting::weighting_map(weighting::heat(round_.scored.judgement, options_.map.source),
                                 found.values, generator().traits().grid, options_.map);
  }
  auto measures = reward_measures(round_.scored, stage().scorer.options());
  measures.emplace_back("group/std", torch::tensor(found.group_std));
  measures.emplace_back("group/equal_share", torch::tensor(found.equal_share));
  return measures;
}

std::int64_t DiffusionNft::updates() const { return std::min(options_.updates, rows_.numel()); }

std::int64_t DiffusionNft::pieces(std::int64_t update) const {
  const auto count = part_begin(update + 1, updates(), rows_.numel()) -
                     part_begin(update, updates(), rows_.numel());
  return (count + options_.micro_batch - 1) / options_.micro_batch;
}

Piece DiffusionNft::piece(std::int64_t update, std::int64_t piece) {
  const auto begin = part_begin(update, updates(), rows_.numel());
  const auto end = part_begin(update + 1, updates(), rows_.numel());
  const auto first = begin + piece * options_.micro_batch;
  const auto last = std::min(first + options_.micro_batch, end);
  const auto rows = rows_.slice(0, first, last);
  const auto device = generator().device();
  const auto part = select(round_.rollout, rows);
  const Draws draws{.random = Randomness(stage().random.key("levels", index_)), .first = first};
  const auto corrupted = generator().corrupt(
      part.latents, noise_levels(options_.levels, rows.numel(), draws, device), draws);
  const auto ask = [&](Policy policy) {
    return generator().predict(corrupted, part.prompts, policy, 1);
  };
  const auto trained = ask(Policy::kTrained);
  const auto mixed = nft_mixtures(trained, ask(Policy::kOld), options_.beta);
  const auto weights =
      weights_.defined() ? weights_.index_select(0, rows.to(weights_.device())) : weights_;
  const auto error = [&](const torch::Tensor& prediction) {
    auto own = error_per_picture(generator().error(prediction, corrupted), corrupted, weights);
    if (options_.normalise) {
      const auto off = (prediction - corrupted.target).detach().abs().flatten(1).mean(1);
      own = own / off.clamp_min(1e-5);
    }
    return own;  // [B]
  };
  const auto good =
      nft_optimality(advantages_.index_select(0, rows), options_.advantage.clip).to(device);  // [B]
  auto loss = good * error(mixed.towards) + (1 - good) * error(mixed.away);
  Piece made;
  if (options_.kl_weight > 0) {
    const auto drift = (trained - ask(Policy::kReference)).square().flatten(1).mean(1);
    loss = loss + options_.kl_weight * drift;
    made.measures.emplace_back("policy/kl", drift.detach().mean());
  }
  made.loss = loss.sum() / static_cast<double>(end - begin);
  return made;
}

void DiffusionNft::end_round(std::int64_t round) {
  const auto decay = options_.old_decay(round);
  generator().update_old(decay);
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < old_.size(); ++i) {
    old_[i].mul_(decay).add_(trainable_[i].value, 1 - decay);
  }
}

io::TensorMap DiffusionNft::state() const {
  io::TensorMap all;
  for (std::size_t i = 0; i < old_.size(); ++i) all.emplace("old/" + trainable_[i].name, old_[i]);
  for (auto& [prompt, rewards] : seen_.front().state()) all.emplace("rewards/" + prompt, rewards);
  return all;
}

// The generator's old policy can only follow the trained one: it is led to where it was.
void DiffusionNft::load_state(const io::TensorMap& state) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> trained;
  for (std::size_t i = 0; i < old_.size(); ++i) {
    const auto found = state.find("old/" + trainable_[i].name);
    if (found == state.end() || found->second.sizes() != old_[i].sizes()) {
      throw CheckpointError("diffusion-nft: the checkpoint lacks old/" + trainable_[i].name);
    }
    old_[i].copy_(found->second);
    trained.push_back(trainable_[i].value.detach().clone());
    trainable_[i].value.copy_(old_[i]);
  }
  generator().update_old(0);
  for (std::size_t i = 0; i < old_.size(); ++i) trainable_[i].value.copy_(trained[i]);
  seen_.front().load_state(with_prefix(state, "rewards/"));
}

}  // namespace rahf::rl
