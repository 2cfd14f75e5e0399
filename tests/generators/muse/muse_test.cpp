#include "rahf/generators/muse/muse.h"

#include <cmath>
#include <functional>

#include "rahf/core/error.h"
#include "support/catch.h"

using namespace rahf;
using generators::Muse;
using generators::MuseParts;
using generators::TextStates;
using generators::UVit2DModel;
using generators::UVit2DOptions;

namespace {

constexpr std::int64_t kCodes = 8, kMask = 9, kSide = 4;

const UVit2DOptions kTiny{.hidden_size = 12,
                          .num_hidden_layers = 1,
                          .num_attention_heads = 2,
                          .intermediate_size = 10,
                          .in_channels = 6,
                          .block_out_channels = 8,
                          .num_res_blocks = 1,
                          .block_num_heads = 2,
                          .downsample = true,
                          .upsample = true,
                          .vocab_size = kMask + 1,
                          .codebook_size = kCodes,
                          .encoder_hidden_size = 5,
                          .cond_embed_dim = 4,
                          .micro_cond_encode_dim = 4,
                          .micro_cond_embed_dim = 20,
                          .sample_size = kSide};

/// States that depend on the text alone.
TextStates text_states(const Prompts& prompts) {
  std::vector<torch::Tensor> states, pooled;
  for (const auto& prompt : prompts) {
    const Randomness random(std::hash<std::string>{}(prompt.text));
    states.push_back(torch::randn({3, 5}, random.generator("states", 0)));
    pooled.push_back(torch::randn({4}, random.generator("pooled", 0)));
  }
  return {torch::stack(states), torch::stack(pooled)};
}

/// A code is a shade of grey over 2 x 2 pixels.
torch::Tensor picture_of(const torch::Tensor& ids) {
  return (ids.to(torch::kFloat) / (kCodes - 1))
      .unsqueeze(1)
      .repeat_interleave(2, 2)
      .repeat_interleave(2, 3)
      .expand({-1, 3, -1, -1});
}
torch::Tensor ids_of(const torch::Tensor& images) {
  return (images.select(1, 0).slice(1, 0, {}, 2).slice(2, 0, {}, 2) * (kCodes - 1))
      .round()
      .to(torch::kLong);
}

Muse tiny_muse() {
  torch::manual_seed(1);
  UVit2DModel network(kTiny);
  {
    const torch::NoGradGuard no_grad;
    for (auto& one : network->parameters()) one.add_(0.3 * torch::randn_like(one));
  }
  return Muse({.network = network,
               .text = text_states,
               .encode = ids_of,
               .decode = picture_of,
               .trainable =
                   [network] {
                     std::vector<OptimisedParameter> all;
                     for (const auto& one : network->named_parameters()) {
                       all.push_back({.name = one.key(), .value = one.value()});
                     }
                     return all;
                   },
               .save = {}},
              {.factor = 2});
}

Prompts prompts(std::int64_t count) {
  Prompts all;
  for (std::int64_t i = 0; i < count; ++i) all.push_back({"prompt " + std::to_string(i % 3)});
  return all;
}

const Draws kDraws{.random = Randomness(7)};

SampleOptions training(double guidance, double stochasticity) {
  return {.num_steps = 5,
          .guidance_scale = guidance,
          .negative_prompt = "not that",
          .stochasticity = stochasticity,
          .keep_trajectory = true};
}

torch::Tensor every_step(std::int64_t batch, std::int64_t steps) {
  return torch::arange(steps).expand({batch, steps}).contiguous();
}

void shake(Muse& muse, double size) {
  const torch::NoGradGuard no_grad;
  for (auto& one : muse.trainable()) one.value.add_(size * torch::randn_like(one.value));
}

}  // namespace

TEST_CASE("Muse's picture does not depend on its batch", "[generators][muse]") {
  auto muse = tiny_muse();
  const auto options = training(2, 1.5);
  const auto together = muse.sample(prompts(7), options, kDraws);
  CHECK(together.images.sizes() == at::IntArrayRef({7, 3, 8, 8}));
  for (std::int64_t i = 0; i < 7; ++i) {
    const auto alone = muse.sample({prompts(7)[i]}, options, {kDraws.random, i});
    CHECK(torch::equal(alone.latents[0], together.latents[i]));
    CHECK(torch::equal(alone.images[0], together.images[i]));
  }
  CHECK_FALSE(torch::equal(together.latents[0], together.latents[3]));  // the same prompt
}

TEST_CASE("Muse's trajectory uncovers every token once and keeps it", "[generators][muse]") {
  auto muse = tiny_muse();
  const auto rollout = muse.sample(prompts(3), training(1, 2), kDraws);
  REQUIRE(rollout.states.sizes() == at::IntArrayRef({3, 6, kSide, kSide}));
  CHECK((rollout.states.select(1, 0) == kMask).all().item<bool>());
  CHECK((rollout.states.select(1, 5) < kCodes).all().item<bool>());
  CHECK(torch::equal(rollout.states.select(1, 5), rollout.latents));
  CHECK(torch::equal(rollout.decided.sum(1), torch::ones({3, kSide, kSide}, torch::kLong)));
  const auto before = rollout.states.slice(1, 0, 5), after = rollout.states.slice(1, 1);
  CHECK(torch::equal(rollout.decided, (before == kMask).logical_and(after != kMask)));
  CHECK((before == after).logical_or(before == kMask).all().item<bool>());
  CHECK((rollout.log_prob <= 0).all().item<bool>());
  CHECK((rollout.log_prob.masked_select(before != kMask) == 0).all().item<bool>());
  CHECK(rollout.timesteps.size(0) == 5);
  CHECK(rollout.timesteps[0].item<float>() == 1);
}

TEST_CASE("Muse's policy ratio is exactly one before an update", "[generators][muse]") {
  auto muse = tiny_muse();
  const std::int64_t batch = GENERATE(1, 7);
  const double guidance = GENERATE(1.0, 3.0), stochasticity = GENERATE(0.0, 2.0);
  const auto rollout = muse.sample(prompts(batch), training(guidance, stochasticity), kDraws);
  std::vector<torch::Tensor> each;
  for (std::int64_t t = 0; t < 5; ++t) {
    const auto terms = muse.step_terms(rollout, torch::full({batch, 1}, t, torch::kLong), {});
    CHECK(terms.log_prob.requires_grad());
    CHECK(torch::equal(terms.decided.select(1, 0), rollout.decided.select(1, t)));
    each.push_back(terms.log_prob.detach());
  }
  const auto ratio = (torch::cat(each, 1) - rollout.log_prob).exp();
  CHECK(torch::equal(ratio, torch::ones_like(ratio)));

  // All steps in one call: another batch size for the network, equal to rounding.
  const auto all = muse.step_terms(rollout, every_step(batch, 5), {});
  CHECK(torch::allclose(all.log_prob, rollout.log_prob, 1e-5, 1e-5));
}

TEST_CASE("Muse's step terms take each sample's own steps", "[generators][muse]") {
  auto muse = tiny_muse();
  const auto rollout = muse.sample(prompts(2), training(2, 1), kDraws);
  const auto terms = muse.step_terms(rollout, torch::tensor({{4, 1}, {0, 2}}), {.kl = true});
  REQUIRE(terms.log_prob.sizes() == at::IntArrayRef({2, 2, kSide, kSide}));
  CHECK(torch::allclose(terms.log_prob[0][0], rollout.log_prob[0][4], 1e-5, 1e-5));
  CHECK(torch::allclose(terms.log_prob[0][1], rollout.log_prob[0][1], 1e-5, 1e-5));
  CHECK(torch::allclose(terms.log_prob[1][1], rollout.log_prob[1][2], 1e-5, 1e-5));
  const auto chosen = select(rollout, torch::tensor({1, 1, 0}));
  const auto again = muse.step_terms(chosen, torch::tensor({{0, 2}, {2, 0}, {1, 4}}), {});
  CHECK(torch::allclose(again.log_prob[0], terms.log_prob[1], 1e-5, 1e-5));
  CHECK(torch::allclose(again.log_prob[1][0], terms.log_prob[1][1], 1e-5, 1e-5));
  CHECK(torch::allclose(again.log_prob[2][1], terms.log_prob[0][0], 1e-5, 1e-5));
}

TEST_CASE("Muse's step terms can leave the guidance out", "[generators][muse]") {
  auto muse = tiny_muse();
  const auto rollout = muse.sample(prompts(2), training(3, 1), kDraws);
  const auto steps = every_step(2, 5);
  const auto plain = muse.step_terms(rollout, steps, {.guidance_scale = 1});
  CHECK_FALSE(torch::allclose(plain.log_prob, rollout.log_prob, 1e-3, 1e-3));
  CHECK(torch::allclose(muse.step_terms(rollout, steps, {.guidance_scale = 3}).log_prob,
                        rollout.log_prob, 1e-5, 1e-5));
}

TEST_CASE("A step up the gradient raises the log-probability of what Muse did",
          "[generators][muse]") {
  auto muse = tiny_muse();
  const auto rollout = muse.sample(prompts(2), training(1, 1), kDraws);
  const auto steps = every_step(2, 5);
  const auto value = [&] { return muse.step_terms(rollout, steps, {}).log_prob.sum(); };
  const auto before = value();
  before.backward();
  {
    const torch::NoGradGuard no_grad;
    for (auto& one : muse.trainable()) one.value.add_(one.value.grad(), 1e-4);
  }
  CHECK(value().item<double>() > before.item<double>());
}

TEST_CASE("Muse's KL to the reference is that of its token distributions", "[generators][muse]") {
  auto muse = tiny_muse();
  const auto rollout = muse.sample(prompts(2), training(2, 1), kDraws);
  const auto steps = torch::tensor({{1}, {3}});
  muse.trainable();
  CHECK(muse.step_terms(rollout, steps, {.kl = true}).kl.abs().max().item<double>() < 1e-6);
  CHECK_FALSE(muse.step_terms(rollout, steps, {}).kl.defined());

  shake(muse, 0.05);
  const auto terms = muse.step_terms(rollout, steps, {.kl = true});
  const auto state = torch::stack({rollout.states[0][1], rollout.states[1][3]});
  const Corrupted at{.state = state};
  // predict() knows no negative prompt but the empty one.
  auto free = rollout;
  free.options.negative_prompt = "";
  const auto p = muse.predict(at, prompts(2), Policy::kTrained, 2).softmax(1);
  const auto q = muse.predict(at, prompts(2), Policy::kReference, 2).softmax(1);
  const auto expected = (p * (p / q).log()).sum(1).masked_fill(state != kMask, 0).unsqueeze(1);
  const auto got = muse.step_terms(free, steps, {.kl = true}).kl;
  CHECK(torch::allclose(got, expected, 1e-3, 1e-5));
  CHECK((got >= -1e-6).all().item<bool>());
  CHECK(got.requires_grad());
  CHECK(terms.kl.max().item<double>() > 1e-4);
}

TEST_CASE("Muse answers by reference, old and trained weights", "[generators][muse]") {
  auto muse = tiny_muse();
  const auto sampled = [&](Policy policy) {
    auto options = training(2, 1);
    options.policy = policy;
    return muse.sample(prompts(2), options, kDraws).log_prob;
  };
  const auto base = sampled(Policy::kTrained);
  muse.trainable();
  shake(muse, 0.1);
  const auto trained = sampled(Policy::kTrained);
  CHECK_FALSE(torch::equal(trained, base));
  CHECK(torch::equal(sampled(Policy::kReference), base));
  CHECK(torch::equal(sampled(Policy::kOld), base));
  muse.update_old(0);
  CHECK(torch::equal(sampled(Policy::kOld), trained));
  CHECK(torch::equal(sampled(Policy::kReference), base));
  CHECK(torch::equal(sampled(Policy::kTrained), trained));

  const auto corrupted =
      muse.corrupt(torch::zeros({2, kSide, kSide}, torch::kLong), torch::full({2}, 0.5f), kDraws);
  CHECK(muse.predict(corrupted, prompts(2), Policy::kTrained, 1).requires_grad());
  CHECK_FALSE(muse.predict(corrupted, prompts(2), Policy::kReference, 1).requires_grad());
}

TEST_CASE("Muse guides away from the negative prompt", "[generators][muse]") {
  auto muse = tiny_muse();
  const auto state = torch::full({1, kSide, kSide}, kMask, torch::kLong);
  const auto at = [&](const char* text, double guidance) {
    return muse.predict({.state = state}, {{text}}, Policy::kTrained, guidance);
  };
  const auto with = at("a", 1), without = at("", 1);
  CHECK(torch::allclose(at("a", 2.5), without + 2.5 * (with - without), 1e-4, 1e-4));
  CHECK(torch::allclose(at("a", 0), without, 1e-5, 1e-5));
}

TEST_CASE("Muse's corruption, prediction and error train masked tokens alone",
          "[generators][muse]") {
  auto muse = tiny_muse();
  const auto ids = torch::randint(0, kCodes, {3, kSide, kSide}, torch::kLong);
  const auto corrupted = muse.corrupt(ids, torch::tensor({0.0, 0.5, 1.0}, torch::kFloat), kDraws);
  const auto masked = corrupted.state == kMask;
  CHECK(torch::equal(masked.flatten(1).sum(1), torch::tensor({1, 8, 16})));
  CHECK(torch::equal(corrupted.target, ids));
  const auto second = muse.corrupt(ids.slice(0, 1, 2), torch::full({1}, 0.5f), {kDraws.random, 1});
  CHECK(torch::equal(second.state[0], corrupted.state[1]));

  const auto prediction = muse.predict(corrupted, prompts(3), Policy::kTrained, 1);
  REQUIRE(prediction.sizes() == at::IntArrayRef({3, kCodes, kSide, kSide}));
  const auto error = muse.error(prediction, corrupted);
  const auto expected = -prediction.log_softmax(1).gather(1, ids.unsqueeze(1)).squeeze(1);
  CHECK(torch::allclose(error, torch::where(masked, expected, torch::zeros_like(expected))));
}

TEST_CASE("Muse starts from known tokens and keeps them", "[generators][muse]") {
  auto muse = tiny_muse();
  auto options = training(1, 1);
  auto start = torch::randint(0, kCodes, {1, kSide, kSide}, torch::kLong);
  const auto known = torch::rand({1, kSide, kSide}) < 0.4;
  options.start = start.masked_fill(known.logical_not(), kMask);
  const auto rollout = muse.sample(prompts(3), options, kDraws);
  const auto kept = known.expand({3, kSide, kSide});
  CHECK(torch::equal(rollout.latents.masked_select(kept),
                     start.expand({3, kSide, kSide}).masked_select(kept)));
  CHECK((rollout.latents != kMask).all().item<bool>());
  CHECK_FALSE(rollout.decided.any(1).masked_select(kept).any().item<bool>());
}

TEST_CASE("Muse's inpainting draws marked cells and keeps the others exactly",
          "[generators][muse]") {
  auto muse = tiny_muse();
  const auto ids = torch::randint(0, kCodes, {2, kSide, kSide}, torch::kLong);
  auto mask = torch::zeros({2, 8, 8}, torch::kBool);
  mask[0].slice(0, 0, 4).fill_(true);
  mask[1][5][6] = true;  // one pixel of the cell (2, 3)
  const auto images = picture_of(ids);
  const auto out = muse.inpaint(images, mask, prompts(2), {.num_steps = 4}, kDraws);
  auto redrawn = torch::zeros({2, kSide, kSide}, torch::kBool);
  redrawn[0].slice(0, 0, 2).fill_(true);
  redrawn[1][2][3] = true;
  const auto after = ids_of(out);
  const auto kept = redrawn.logical_not();
  CHECK(torch::equal(after.masked_select(kept), ids.masked_select(kept)));
  CHECK_FALSE(torch::equal(after[0], ids[0]));
  bool moved = false;
  for (std::int64_t seed = 0; seed < 20 && !moved; ++seed) {
    const auto other = ids_of(muse.inpaint(images, mask, prompts(2), {.num_steps = 4},
                                           {.random = Randomness(100 + seed)}));
    moved = !torch::equal(other[1], ids[1]);
  }
  CHECK(moved);
}

TEST_CASE("Muse's inpainting without a mark gives the picture back", "[generators][muse]") {
  auto muse = tiny_muse();
  const auto images = picture_of(torch::randint(0, kCodes, {1, kSide, kSide}, torch::kLong));
  const auto none = torch::zeros({1, 8, 8}, torch::kBool);
  CHECK(torch::allclose(muse.inpaint(images, none, prompts(1), {.num_steps = 4}, kDraws), images));
}

TEST_CASE("Muse's image to image keeps more of the picture the weaker it is",
          "[generators][muse]") {
  auto muse = tiny_muse();
  const auto ids = torch::randint(0, kCodes, {16, kSide, kSide}, torch::kLong);
  const auto kept = [&](double strength) {
    const auto rollout = muse.image_to_image(picture_of(ids), strength, prompts(16),
                                             {.num_steps = 10, .stochasticity = 1}, kDraws);
    return (rollout.latents == ids).to(torch::kFloat).mean().item<double>();
  };
  CHECK(kept(0.1) == 1);  // the last step masks nothing
  CHECK(kept(0.3) > kept(0.9) + 0.1);
}

TEST_CASE("Muse lets a steering hook see, change and resample its states", "[generators][muse]") {
  auto muse = tiny_muse();
  const auto plain = muse.sample(prompts(3), training(1, 1), kDraws);
  auto options = training(1, 1);
  std::vector<std::int64_t> seen;
  options.steering = [&](const SteeringPoint& point) -> Steered {
    seen.push_back(point.step);
    CHECK(point.num_steps == 5);
    CHECK(torch::equal(point.state, plain.states.select(1, point.step)));
    const auto clean = point.clean_images(point.state);
    CHECK(clean.sizes() == at::IntArrayRef({3, 3, 8, 8}));
    const auto known = point.state != kMask;
    CHECK(torch::equal(ids_of(clean).masked_select(known), point.state.masked_select(known)));
    return {};
  };
  CHECK(torch::equal(muse.sample(prompts(3), options, kDraws).log_prob, plain.log_prob));
  CHECK(seen == std::vector<std::int64_t>{1, 2, 3, 4});

  const auto ancestors = torch::tensor({2, 0, 0});
  options.steering = [&](const SteeringPoint& point) -> Steered {
    return {.state = {}, .ancestors = point.step == 2 ? ancestors : torch::Tensor()};
  };
  const auto resampled = muse.sample(prompts(3), options, kDraws);
  CHECK(torch::equal(resampled.states.slice(1, 0, 3),
                     plain.states.index_select(0, ancestors).slice(1, 0, 3)));
  CHECK(torch::equal(resampled.log_prob.slice(1, 0, 2),
                     plain.log_prob.index_select(0, ancestors).slice(1, 0, 2)));
  CHECK(torch::equal(resampled.kept.at("log_threshold").slice(1, 0, 2),
                     plain.kept.at("log_threshold").index_select(0, ancestors).slice(1, 0, 2)));
  CHECK((resampled.latents != kMask).all().item<bool>());

  options.steering = [&](const SteeringPoint& point) -> Steered {
    return {.state = point.state.masked_fill(point.state != kMask, 3), .ancestors = {}};
  };
  const auto threes = muse.sample(prompts(3), options, kDraws);
  CHECK((threes.states.select(1, 4).masked_select(threes.states.select(1, 4) != kMask) == 3)
            .all()
            .item<bool>());
}

TEST_CASE("Muse says what it is and offers", "[generators][muse]") {
  const auto traits = tiny_muse().traits();
  CHECK(traits.grid == Grid{kSide, kSide});
  CHECK(traits.image_width == 8);
  CHECK(traits.discrete);
  CHECK(traits.inpaint);
  CHECK_FALSE(traits.sample_through);
}

TEST_CASE("Muse rejects what it cannot do", "[generators][muse]") {
  auto muse = tiny_muse();
  const auto says = [&](SampleOptions options, const char* text) {
    REQUIRE_THROWS_MATCHES(muse.sample(prompts(2), options, kDraws), Error, Says(text));
  };
  says({.num_steps = 0}, "num_steps must be > 0, got 0");
  says({.guidance_scale = -1}, "guidance_scale must be >= 0, got -1");
  says({.stochasticity = -1}, "stochasticity must be >= 0, got -1");
  says({.start = torch::zeros({2, 3, 4}, torch::kLong)}, "start must be [B, 4, 4]");
  says({.start = torch::zeros({3, 4, 4}, torch::kLong)}, "start must hold 1 or 2 grids, got 3");
  REQUIRE_THROWS_MATCHES(muse.sample({}, {}, kDraws), ConfigError,
                         Says("prompts must not be empty"));

  const auto images = torch::zeros({2, 3, 8, 8});
  REQUIRE_THROWS_MATCHES(
      muse.inpaint(images, torch::zeros({2, 8, 6}, torch::kBool), prompts(2), {}, kDraws),
      ShapeError, Says("masks must be [2, 8, 8] Bool, got [2, 8, 6]"));
  REQUIRE_THROWS_MATCHES(muse.encode(torch::zeros({2, 3, 8, 6})), ShapeError,
                         Says("images must be [2, 3, 8, 8]"));
  REQUIRE_THROWS_MATCHES(muse.image_to_image(images, 0.04, prompts(2), {}, kDraws), ConfigError,
                         Says("strength must be in [1 / num_steps, 1], got 0.04"));
  const auto rollout = muse.sample(prompts(2), {.num_steps = 2}, kDraws);
  REQUIRE_THROWS_MATCHES(muse.step_terms(rollout, torch::zeros({2, 1}, torch::kLong), {}),
                         ConfigError, Says("the rollout must have a trajectory"));
  REQUIRE_THROWS_MATCHES(muse.sample_through(prompts(2), {}, kDraws), ConfigError,
                         Says("no pictures with a gradient path"));
}
